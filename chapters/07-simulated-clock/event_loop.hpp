// The event loop on a simulated clock that jumps: no real time passes, and
// every run is the same.
#pragma once

#include <coroutine>
#include <exception>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "chapters/07-simulated-clock/frame_pool.hpp"
#include "chapters/07-simulated-clock/running.hpp"
#include "chapters/07-simulated-clock/sleep_queue.hpp"
#include "chapters/07-simulated-clock/task.hpp"
#include "chapters/07-simulated-clock/task_errors.hpp"
#include "chapters/07-simulated-clock/wait_list.hpp"

namespace simulated {

/// Runs tasks on a simulated clock. All ready tasks run, first in, first out.
/// When none is ready, the clock jumps to the earliest wake time, and every
/// task that wakes then becomes ready, in the order in which they went to
/// sleep.
///
/// The loop must outlive everything that waits in it. For one thread only.
class EventLoop {
public:
    /// Called with the exception that left a task added by add_task(). Must not
    /// throw.
    using ErrorHandler =
        std::function<void(const std::string& task, std::exception_ptr error)>;

    explicit EventLoop(ErrorHandler on_error = print_error)
        : on_error_(std::move(on_error)) {}

    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;

    /// Destroys the unfinished tasks, wherever they wait. A task must not
    /// destroy the loop that runs it: that ends the program with a line on
    /// stderr.
    ~EventLoop() {
        require_not_running(running_);
        while (!tasks_.empty()) tasks_.front().coroutine.destroy();
    }

    /// Takes `task` over and puts it behind all tasks that are ready now. If an
    /// exception leaves it, the error handler gets the exception and `name`,
    /// and the other tasks go on.
    void add_task(std::string name, Task<> task) {
        DetachedTask::promise_type& added =
            run_detached(std::move(task)).promise;
        added.loop = this;
        added.name = std::move(name);
        tasks_.push_back(added);
        ready_tasks_.push_back(added.start);
    }

    /// Runs until all tasks have finished. Throws Deadlock if unfinished tasks
    /// are left that nothing can wake. They stay in the loop: after an
    /// Event::set() from outside, run() may be called again. Throws
    /// std::logic_error when a task of this loop calls it.
    void run() {
        const RunningScope running(running_);
        // EXERCISE 07.2
        while (true) {
            while (!ready_tasks_.empty())
                ready_tasks_.pop_front().coroutine.resume();
            if (!sleeping_tasks_.advance(ready_tasks_)) break;
        }
        if (!tasks_.empty()) throw_deadlock();
        // END 07.2
    }

    /// Returns the time on the simulated clock, which starts at 0.
    [[nodiscard]] Time current_time() const { return sleeping_tasks_.now(); }

    class Sleep;

    /// `co_await loop.async_sleep(delay)` resumes `delay` ticks later. With a
    /// delay of 0 it resumes at the same time, after all tasks that are ready
    /// now have run. Throws std::invalid_argument if `delay` is negative. The
    /// clock ends at the largest Time: the `co_await` of a sleep that would end
    /// later throws std::overflow_error. It throws std::logic_error if another
    /// task waits for the same awaiter.
    Sleep async_sleep(Time delay);

    /// For awaiters: puts `waiter`, which must not be in a queue, behind all
    /// tasks that are ready now.
    void schedule(Waiter& waiter) noexcept { ready_tasks_.push_back(waiter); }

private:
    /// The coroutine around a task that was added to the loop. No coroutine
    /// awaits it, and no object owns its frame: it frees itself at its end,
    /// because final_suspend does not suspend.
    struct DetachedTask {
        // The promise is the Waiter in tasks_.
        struct promise_type : Waiter, PooledFrame {
            EventLoop* loop = nullptr;
            std::string name;
            // In ready_tasks_ until the task starts.
            Waiter start;

            promise_type() {
                coroutine = start.coroutine =
                    std::coroutine_handle<promise_type>::from_promise(*this);
            }

            DetachedTask get_return_object() { return {*this}; }
            // NOLINTBEGIN(readability-convert-member-functions-to-static)
            [[nodiscard]] std::suspend_always initial_suspend() const noexcept {
                return {};
            }
            [[nodiscard]] std::suspend_never final_suspend() const noexcept {
                return {};
            }
            // NOLINTEND(readability-convert-member-functions-to-static)
            void return_void() const noexcept {}
            void unhandled_exception() const noexcept {
                loop->on_error_(name, std::current_exception());
            }
        };

        promise_type& promise;
    };

    static DetachedTask run_detached(Task<> task) { co_await std::move(task); }

    [[noreturn]] void throw_deadlock() const {
        throw Deadlock("deadlock at " + std::to_string(current_time()) +
                       ": nothing can wake " +
                       pending_task_names<DetachedTask::promise_type>(tasks_));
    }

    ErrorHandler on_error_;
    WaitList ready_tasks_;
    // It keeps the clock, too.
    SleepQueue sleeping_tasks_;
    // Added and not finished.
    WaitList tasks_;
    bool running_ = false;
};

/// The awaiter of async_sleep(). While the coroutine sleeps, it is the
/// coroutine's entry in sleeping_tasks_.
class [[nodiscard]] EventLoop::Sleep : Sleeper {
public:
    Sleep(EventLoop& loop, Time delay) : loop_(loop), delay_(delay) {}
    Sleep(const Sleep&) = delete;
    Sleep& operator=(const Sleep&) = delete;

    ~Sleep() {
        if (slot != awake) loop_.sleeping_tasks_.remove(*this);
    }

    [[nodiscard]] bool await_ready() const {
        require_unused();
        return false;
    }

    void await_suspend(std::coroutine_handle<> awaiting) {
        if (delay_ > std::numeric_limits<Time>::max() - loop_.current_time()) {
            throw std::overflow_error("cannot sleep for " +
                                      std::to_string(delay_) +
                                      ": the clock does not go that far");
        }
        loop_.sleeping_tasks_.push(*this, loop_.current_time() + delay_);
        coroutine = awaiting;
    }

    void await_resume() noexcept { coroutine = nullptr; }

private:
    EventLoop& loop_;
    Time delay_;
};

inline EventLoop::Sleep EventLoop::async_sleep(Time delay) {
    if (delay < 0) {
        throw std::invalid_argument("cannot sleep for " +
                                    std::to_string(delay) +
                                    ": the clock does not run backwards");
    }
    return {*this, delay};
}

}  // namespace simulated
