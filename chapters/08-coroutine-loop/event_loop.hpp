// The event loop for coroutines: chapter 07's tasks, on chapter 04's epoll.
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

#include "chapters/04-epoll/epoll.hpp"
#include "chapters/05-callback-loop/clock.hpp"
#include "chapters/07-simulated-clock/running.hpp"
#include "chapters/07-simulated-clock/task_errors.hpp"
#include "chapters/08-coroutine-loop/operation.hpp"
#include "chapters/08-coroutine-loop/sleep_queue.hpp"
#include "chapters/08-coroutine-loop/spawn.hpp"

namespace coroutines {

using callbacks::Clock;
using callbacks::Duration;
using simulated::Deadlock;

/// Runs tasks on one thread. Each turn schedules the sleeping tasks that are
/// due and the tasks whose descriptors are ready, and then resumes each
/// scheduled task once.
///
/// A suspended coroutine waits in an awaiter, an object in its own frame.
/// Destroying the coroutine destroys the awaiter, which unlinks itself from the
/// queue it is in: that is cancellation. The loop must outlive everything that
/// waits in it.
class EventLoop {
public:
    using ErrorHandler = SpawnedTasks::ErrorHandler;

    /// `clock` is not owned. `on_error` gets the exceptions that end spawned
    /// tasks.
    explicit EventLoop(Clock& clock = callbacks::steady_clock(),
                       ErrorHandler on_error = simulated::print_error)
        : clock_(clock), tasks_(std::move(on_error)) {}

    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;

    /// Destroys the spawned tasks that have not finished, wherever they are
    /// suspended. A task must not destroy the loop that runs it: that ends the
    /// program with a line on stderr.
    ~EventLoop() {
        simulated::require_not_running(running_);
        tasks_.destroy_all();
    }

    /// Takes over `task`, which starts in the next turn. No other task awaits
    /// it, so an exception that leaves it goes to the error handler, with
    /// `name`, and ends only this task.
    TaskHandle spawn(std::string name, Task<> task) {
        return tasks_.add(std::move(name), std::move(task), ready_tasks_);
    }

    /// Runs turns until every spawned task has finished, or until stop().
    /// Throws Deadlock when the remaining tasks can never be resumed, and
    /// std::logic_error when a task of this loop calls it.
    void run() {
        const simulated::RunningScope running(running_);
        stopped_ = false;
        while (!stopped_) {
            tasks_.destroy_cancelled();
            if (tasks_.empty()) return;
            turn();
        }
    }

    /// Makes run() return when the running task suspends. The other tasks stay
    /// as they are: the next run() continues them, the destructor destroys
    /// them.
    void stop() { stopped_ = true; }

    [[nodiscard]] TimePoint now() const { return clock_.now(); }

    /// `co_await loop.async_sleep(delay)` resumes when `delay` has passed,
    /// never earlier. With zero or less it lets all other ready tasks run
    /// first. A sleep that would end beyond the last time that the clock can
    /// show (Duration::max()) never ends, on any clock: all it can be is
    /// destroyed.
    class Sleep;
    Sleep async_sleep(Duration delay);

    /// `co_await loop.until_readable(fd)` resumes when a read from `fd` would
    /// not block: there is data, the end of input, or an error. It registers
    /// `fd` for this one wait, which suits rare events (a listener, a signal);
    /// a Socket is registered once for all its reads and writes. `fd` must stay
    /// open meanwhile. Throws std::system_error (EEXIST: a task already waits
    /// for `fd`; EPERM: `fd` is a disk file).
    class Readiness;
    Readiness until_readable(int fd);

    /// The same for writing: there is room in the buffer, or an error.
    Readiness until_writable(int fd);

    /// The number of tasks that wait for a descriptor, and of those that sleep.
    [[nodiscard]] int waiting() const { return waiting_; }
    [[nodiscard]] std::size_t sleeping() const {
        return sleeping_tasks_.size();
    }

    // --- For awaiters ---

    /// Resumes `waiter`, which must not be in any queue, in this turn or the
    /// next.
    void schedule(Waiter& waiter) noexcept { ready_tasks_.push_back(waiter); }

    /// Returns true while the running coroutine still has budget to continue
    /// without suspending. Each operation that could complete at once asks
    /// first. The budget keeps a task whose descriptor is always ready (a
    /// client that never stops sending) from starving the others.
    bool has_budget() noexcept { return budget_-- > 0; }

    /// Attempts `operation` in the next turn, after the other ready tasks.
    void defer(Operation& operation) noexcept {
        deferred_.push_back(operation);
    }

    /// Count the tasks that wait for a descriptor. While there are any, an
    /// event can still come, so the loop is not deadlocked.
    void add_waiting() noexcept { ++waiting_; }
    void remove_waiting() noexcept { --waiting_; }

    epolling::Epoll& epoll() { return epoll_; }

private:
    void turn() {
        wake_sleepers();
        poll_io();
        resume_ready();
    }

    void wake_sleepers() {
        if (sleeping_tasks_.empty()) return;
        const TimePoint time = now();
        while (!sleeping_tasks_.empty() &&
               sleeping_tasks_.next_deadline() <= time) {
            ready_tasks_.push_back(sleeping_tasks_.pop());
        }
    }

    /// The only place where the loop blocks. It schedules tasks for the whole
    /// batch of events before any task is resumed, because a resumed task may
    /// destroy the object that another event's tag points to.
    void poll_io() {
        const TimePoint next = next_deadline();
        const auto events = epoll_.wait(clock_.poll_timeout(next));
        if (events.empty()) clock_.advance_to(next);
        for (const epoll_event& event : events) {
            static_cast<EventSource*>(event.data.ptr)->on_events(event.events);
        }
        attempt_deferred();
    }

    void attempt_deferred() {
        while (!deferred_.empty()) {
            auto& operation = static_cast<Operation&>(deferred_.pop_front());
            if (operation.attempt()) {
                schedule(operation);
            } else {
                operation.wait_for_readiness();
            }
        }
    }

    /// Until when poll_io() may block.
    [[nodiscard]] TimePoint next_deadline() const {
        if (!ready_tasks_.empty() || !deferred_.empty())
            return callbacks::no_wait;
        const TimePoint next = sleeping_tasks_.empty()
                                   ? callbacks::no_deadline
                                   : sleeping_tasks_.next_deadline();
        if (next == callbacks::no_deadline && waiting_ == 0)
            throw Deadlock("deadlock: nothing can wake " + tasks_.names());
        return next;
    }

    /// Resumes the tasks that are ready now. Tasks that become ready meanwhile
    /// run in the next turn, after epoll has been polled again.
    void resume_ready() {
        Waiter end;
        ready_tasks_.push_back(end);
        while (&ready_tasks_.front() != &end && !stopped_) {
            budget_ = io_budget;
            ready_tasks_.pop_front().coroutine.resume();
        }
    }

    // Operations that a task may complete in a row without suspending
    static constexpr int io_budget = 32;

    Clock& clock_;
    epolling::Epoll epoll_;
    SleepQueue sleeping_tasks_;
    WaitList ready_tasks_;
    WaitList deferred_;
    SpawnedTasks tasks_;
    int waiting_ = 0;
    int budget_ = 0;
    bool running_ = false;
    bool stopped_ = false;
};

/// The awaiter of async_sleep() is the coroutine's entry in the sleep queue.
class [[nodiscard]] EventLoop::Sleep : Sleeper {
public:
    Sleep(EventLoop& loop, Duration delay) : loop_(loop), delay_(delay) {}
    Sleep(const Sleep&) = delete;
    Sleep& operator=(const Sleep&) = delete;

    ~Sleep() { loop_.sleeping_tasks_.remove(*this); }

    [[nodiscard]] bool await_ready() const noexcept { return false; }

    void await_suspend(std::coroutine_handle<> awaiting) {
        coroutine = awaiting;
        loop_.sleeping_tasks_.push(*this,
                                   callbacks::later(loop_.now(), delay_));
    }

    void await_resume() const noexcept {}

private:
    EventLoop& loop_;
    Duration delay_;
};

inline EventLoop::Sleep EventLoop::async_sleep(Duration delay) {
    return {*this, delay};
}

/// The awaiter of until_readable() and until_writable() is registered with
/// epoll while the coroutine waits.
class [[nodiscard]] EventLoop::Readiness : Waiter, EventSource {
public:
    Readiness(EventLoop& loop, int fd, std::uint32_t events)
        : loop_(loop), fd_(fd), events_(events) {}
    Readiness(const Readiness&) = delete;
    Readiness& operator=(const Readiness&) = delete;

    ~Readiness() override { unregister(); }

    [[nodiscard]] bool await_ready() const noexcept { return false; }

    void await_suspend(std::coroutine_handle<> awaiting) {
        coroutine = awaiting;
        // One event is enough: epoll must not report it again before the
        // coroutine has been resumed.
        loop_.epoll_.add(fd_, events_ | EPOLLONESHOT,
                         static_cast<EventSource*>(this));
        registered_ = true;
        loop_.add_waiting();
    }

    void await_resume() noexcept { unregister(); }

private:
    void on_events(std::uint32_t /*events*/) noexcept override {
        loop_.schedule(*this);
    }

    void unregister() noexcept {
        if (!std::exchange(registered_, false)) return;
        loop_.epoll_.remove(fd_);
        loop_.remove_waiting();
    }

    EventLoop& loop_;
    int fd_;
    std::uint32_t events_;
    bool registered_ = false;
};

inline EventLoop::Readiness EventLoop::until_readable(int fd) {
    return {*this, fd, EPOLLIN};
}
inline EventLoop::Readiness EventLoop::until_writable(int fd) {
    return {*this, fd, EPOLLOUT};
}

}  // namespace coroutines
