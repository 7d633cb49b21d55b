// What an event loop reports about its tasks. Chapter 08's loop uses this too.
#pragma once

#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>

#include "chapters/07-simulated-clock/wait_list.hpp"

namespace simulated {

/// Thrown by run() when every unfinished task is suspended and nothing can
/// resume one. what() names the tasks.
class Deadlock : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Returns the names of `tasks`, quoted and separated by commas. After the
/// first ten it only says how many more there are. A `NamedTask` is a Waiter
/// with a `name`, and every waiter in `tasks` must be one.
template <typename NamedTask>
std::string pending_task_names(const WaitList& tasks) {
    constexpr int most_names = 10;
    std::string names;
    int count = 0;
    tasks.for_each([&](const Waiter& task) {
        if (++count > most_names) return;
        if (count > 1) names += ", ";
        names += '"' + static_cast<const NamedTask&>(task).name + '"';
    });
    if (count > most_names)
        names += " and " + std::to_string(count - most_names) + " more";
    return names;
}

/// The default error handler of both loops: prints `error`, which left the task
/// called `task`, on stderr.
inline void print_error(const std::string& task,
                        const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& exception) {
        std::fprintf(stderr, "task \"%s\" failed: %s\n", task.c_str(),
                     exception.what());
    } catch (...) {
        std::fprintf(stderr, "task \"%s\" failed: not with a std::exception\n",
                     task.c_str());
    }
}

}  // namespace simulated
