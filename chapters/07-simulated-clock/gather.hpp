// Waiting for many tasks at once.
#pragma once

#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include "chapters/07-simulated-clock/task.hpp"

namespace simulated {

/// The tasks of one gather(), its members, and the task that waits for them,
/// the gatherer. It owns the members, and lives in the gatherer's frame.
class Gathering {
public:
    void add(Task<> member) { members_.push_back(std::move(member)); }

    /// Awaited by a member at its end, after `error` or without one. Goes on
    /// with the gatherer if nobody else needs to arrive. It never comes back:
    /// the member is suspended until it is destroyed.
    class Arrive : public std::suspend_always {
    public:
        explicit Arrive(Gathering& gathering) : gathering_(gathering) {}

        std::coroutine_handle<> await_suspend(
            std::coroutine_handle<> /*member*/) noexcept {
            if (!gathering_.is_over()) return std::noop_coroutine();
            return std::exchange(gathering_.gatherer_, std::noop_coroutine());
        }

    private:
        Gathering& gathering_;
    };

    Arrive arrive(std::exception_ptr error = nullptr) noexcept {
        ++arrived_;
        if (error) error_ = std::move(error);
        return Arrive(*this);
    }

    /// Awaited by the gatherer: starts the members, in order, and goes on when
    /// all have arrived or one has failed. Then all are destroyed, and the
    /// failure is thrown.
    class AllOrError : public std::suspend_always {
    public:
        explicit AllOrError(Gathering& gathering) : gathering_(gathering) {}

        bool await_suspend(std::coroutine_handle<> gatherer) {
            for (Task<>& member : gathering_.members_) {
                member.start();
                if (gathering_.error_) break;
            }
            // Only from here on may the last member resume the gatherer. During
            // the loop, that would have destroyed the members under its feet.
            if (gathering_.is_over()) return false;
            gathering_.gatherer_ = gatherer;
            return true;
        }

        void await_resume() {
            gathering_.members_.clear();
            if (gathering_.error_) std::rethrow_exception(gathering_.error_);
        }

    private:
        Gathering& gathering_;
    };

    AllOrError all_or_error() noexcept { return AllOrError(*this); }

private:
    [[nodiscard]] bool is_over() const {
        return arrived_ == members_.size() || error_;
    }

    std::size_t arrived_ = 0;
    std::exception_ptr error_;
    // Whom to resume when it is over
    std::coroutine_handle<> gatherer_ = std::noop_coroutine();
    std::vector<Task<>> members_;
};

/// The member that runs `task` and keeps its result in `slot`.
template <typename T>
Task<> gather_one(Task<T> task, std::optional<T>& slot, Gathering& gathering) {
    std::exception_ptr error;
    try {
        slot.emplace(co_await std::move(task));
    } catch (...) {
        error = std::current_exception();
    }
    co_await gathering.arrive(error);
}

inline Task<> gather_one(Task<> task, Gathering& gathering) {
    std::exception_ptr error;
    try {
        co_await std::move(task);
    } catch (...) {
        error = std::current_exception();
    }
    co_await gathering.arrive(error);
}

/// Runs all tasks side by side. They start in order; when the last one has
/// finished there are the results, in the order of the tasks. The first
/// exception destroys the tasks that have not finished, and those that have not
/// started never will; then it is thrown.
template <typename T>
Task<std::vector<T>> gather(std::vector<Task<T>> tasks) {
    std::vector<std::optional<T>> slots(tasks.size());
    Gathering gathering;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        gathering.add(gather_one(std::move(tasks[i]), slots[i], gathering));
    }
    co_await gathering.all_or_error();

    std::vector<T> results;
    results.reserve(slots.size());
    for (std::optional<T>& slot : slots) results.push_back(std::move(*slot));
    co_return results;
}

/// The same for tasks without a result.
inline Task<> gather(std::vector<Task<>> tasks) {
    Gathering gathering;
    for (Task<>& task : tasks)
        gathering.add(gather_one(std::move(task), gathering));
    co_await gathering.all_or_error();
}

}  // namespace simulated
