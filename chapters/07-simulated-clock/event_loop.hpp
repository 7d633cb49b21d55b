// The event loop on a clock that jumps: nobody really sleeps, and every run is
// the same.
#pragma once

#include <coroutine>
#include <cstdio>
#include <exception>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "chapters/07-simulated-clock/frame_pool.hpp"
#include "chapters/07-simulated-clock/sleep_queue.hpp"
#include "chapters/07-simulated-clock/task.hpp"
#include "chapters/07-simulated-clock/wait_list.hpp"

namespace simulated {

/// Everybody waits and nobody is left who could wake them. what() names the
/// tasks.
class Deadlock : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

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
        AddedTask::promise_type& added = own(std::move(task)).promise;
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
        if (!tasks_.empty()) throw Deadlock(who_waits());
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
    void make_ready(Waiter& waiter) noexcept { ready_tasks_.push_back(waiter); }

private:
    /// The coroutine around each added task. Nobody owns or awaits it: at its
    /// end it frees its frame itself (final_suspend does not suspend), and with
    /// the frame its places in the queues.
    struct AddedTask {
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

            AddedTask get_return_object() { return {*this}; }
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

    static AddedTask own(Task<> task) { co_await std::move(task); }

    /// The text of the Deadlock, with the first few names.
    [[nodiscard]] std::string who_waits() const {
        constexpr int most_names = 10;
        std::string names;
        int count = 0;
        tasks_.for_each([&](const Waiter& task) {
            if (++count > most_names) return;
            if (count > 1) names += ", ";
            names += "\"" +
                     static_cast<const AddedTask::promise_type&>(task).name +
                     "\"";
        });
        if (count > most_names)
            names += " and " + std::to_string(count - most_names) + " more";
        return "deadlock at " + std::to_string(current_time()) +
               ": nobody can wake " + names;
    }

    static void print_error(const std::string& task,
                            const std::exception_ptr& error) {
        try {
            std::rethrow_exception(error);
        } catch (const std::exception& exception) {
            std::fprintf(stderr, "task \"%s\" failed: %s\n", task.c_str(),
                         exception.what());
        } catch (...) {
            std::fprintf(stderr,
                         "task \"%s\" failed: not with a std::exception\n",
                         task.c_str());
        }
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
        if (ticket != awake) loop_.sleeping_tasks_.remove(*this);
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
