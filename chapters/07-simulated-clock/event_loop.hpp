// The event loop on a clock that jumps: nobody really sleeps, and every run is
// the same.
#pragma once

#include <coroutine>
#include <exception>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "chapters/07-simulated-clock/frame_pool.hpp"
#include "chapters/07-simulated-clock/sleep_queue.hpp"
#include "chapters/07-simulated-clock/task.hpp"
#include "chapters/07-simulated-clock/task_errors.hpp"
#include "chapters/07-simulated-clock/wait_list.hpp"

namespace simulated {

/// Runs tasks on a simulated clock. All ready tasks run, first in, first out;
/// when none is ready, the clock jumps to the earliest wake time, and everybody
/// who wakes then is ready, in the order in which they went to sleep.
///
/// The loop must outlive everything that waits in it. One thread only.
class EventLoop {
public:
    /// What to do with an exception that left a task which nobody awaits. Must
    /// not throw.
    using ErrorHandler =
        std::function<void(const std::string& task, std::exception_ptr error)>;

    explicit EventLoop(ErrorHandler on_error = print_error)
        : on_error_(std::move(on_error)) {}

    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;

    /// Destroys the tasks that are not finished, wherever they wait.
    ~EventLoop() {
        while (!tasks_.empty()) tasks_.front().coroutine.destroy();
    }

    /// Takes over `task` and makes it ready, behind all that are ready now.
    /// Nobody awaits it: an exception that leaves it goes to the error handler,
    /// with `name`, and ends only this task.
    void add_task(std::string name, Task<> task) {
        DetachedTask::promise_type& added =
            run_detached(std::move(task)).promise;
        added.loop = this;
        added.name = std::move(name);
        tasks_.push_back(added);
        ready_tasks_.push_back(added.start);
    }

    /// Runs until all tasks are finished. Throws Deadlock when some are left
    /// that nobody can wake: they are still there then, and can be woken (by
    /// Event::set) before another run().
    void run() {
        while (true) {
            while (!ready_tasks_.empty())
                ready_tasks_.pop_front().coroutine.resume();
            if (!sleeping_tasks_.advance(ready_tasks_)) break;
        }
        if (!tasks_.empty()) throw_deadlock();
    }

    /// What the clock shows: 0 at first.
    [[nodiscard]] Time current_time() const { return sleeping_tasks_.now(); }

    class Sleep;

    /// `co_await loop.async_sleep(delay)` goes on `delay` ticks later. With 0
    /// it goes on at the same time, when all that are ready have run. Throws
    /// std::invalid_argument for a negative delay; the `co_await` throws
    /// std::overflow_error where the clock does not go that far.
    Sleep async_sleep(Time delay);

    /// For awaiters: `waiter`, which stands in no queue, goes on behind all
    /// that are ready now.
    void schedule(Waiter& waiter) noexcept { ready_tasks_.push_back(waiter); }

private:
    /// The coroutine around each added task. Nobody owns or awaits it: at its
    /// end it frees its frame itself (final_suspend does not suspend), and with
    /// the frame its places in the queues.
    struct DetachedTask {
        // The Waiter: its place in tasks_
        struct promise_type : Waiter, PooledFrame {
            EventLoop* loop = nullptr;
            std::string name;
            // Its place in ready_tasks_ until it starts
            Waiter start;

            promise_type() {
                coroutine = start.coroutine =
                    std::coroutine_handle<promise_type>::from_promise(*this);
            }

            DetachedTask get_return_object() { return {*this}; }
            // NOLINTBEGIN(readability-convert-member-functions-to-static): so
            // that all look alike
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
    // And the clock
    SleepQueue sleeping_tasks_;
    // Those that were added and are not finished
    WaitList tasks_;
};

/// The awaiter of async_sleep: it puts the coroutine that awaits it to sleep,
/// and is its place among the sleepers.
class [[nodiscard]] EventLoop::Sleep : public std::suspend_always, Sleeper {
public:
    Sleep(EventLoop& loop, Time delay) : loop_(loop), delay_(delay) {}
    Sleep(const Sleep&) = delete;
    Sleep& operator=(const Sleep&) = delete;

    ~Sleep() {
        if (slot != awake) loop_.sleeping_tasks_.remove(*this);
    }

    void await_suspend(std::coroutine_handle<> awaiting) {
        if (delay_ > std::numeric_limits<Time>::max() - loop_.current_time()) {
            throw std::overflow_error("cannot sleep for " +
                                      std::to_string(delay_) +
                                      ": the clock does not go that far");
        }
        coroutine = awaiting;
        loop_.sleeping_tasks_.push(*this, loop_.current_time() + delay_);
    }

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
