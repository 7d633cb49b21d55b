// What keeps a task from running, or destroying, the loop that runs it. Chapter
// 08's loop uses this too.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace simulated {

/// Lives while a loop runs its tasks. `running` is a member of the loop.
class RunningScope {
public:
    /// Throws std::logic_error if the loop is running: one of its tasks has
    /// called run().
    explicit RunningScope(bool& running) : running_(running) {
        if (running_)
            throw std::logic_error("a task runs the event loop that runs it");
        running_ = true;
    }
    RunningScope(const RunningScope&) = delete;
    RunningScope& operator=(const RunningScope&) = delete;
    ~RunningScope() { running_ = false; }

private:
    bool& running_;
};

/// For a loop's destructor: ends the program with a line on stderr if the loop
/// is running. The task that destroys it would return into freed memory.
inline void require_not_running(bool running) {
    if (!running) return;
    std::fputs("a task destroys the event loop that runs it\n", stderr);
    std::abort();
}

}  // namespace simulated
