// An event loop: it calls back when a time has come, when a descriptor is
// ready, or as soon as it can. Every callback runs on the one thread that
// called run().
#pragma once

#include <sys/eventfd.h>

#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include "chapters/05-callback-loop/clock.hpp"
#include "chapters/05-callback-loop/poller.hpp"
#include "chapters/05-callback-loop/timer_queue.hpp"
#include "common/descriptor.hpp"
#include "common/error.hpp"

namespace callbacks {

/// A callback may use every function here but run(): it may remove or cancel
/// itself and others, close descriptors, stop the loop, throw. What it throws
/// leaves run(); everything that was still to come stays so, and run() may be
/// called again.
class EventLoop {
public:
    /// `clock` is not owned.
    explicit EventLoop(Clock& clock = steady_clock()) : clock_(clock) {
        add_reader(wake_up_.fd(), [this] { take_threadsafe_tasks(); });
    }

    /// What a callback owns may remove and cancel here once more, while both
    /// are destroyed.
    ~EventLoop() {
        poller_.remove_all();
        timers_.cancel_all();
        std::exchange(tasks_, {});
    }

    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;

    // --- Running ---

    /// Turns until stop(), or until nothing is left that could happen: no task,
    /// timer or watcher.
    void run() {
        if (in_callback_)
            throw std::logic_error("run() was called by a callback");
        stopped_ = false;
        while (!stopped_ && is_alive()) turn();
    }

    /// run() returns at the end of this turn, and does not sleep before.
    void stop() { stopped_ = true; }

    // --- The task queue ---

    /// Calls `task` in the next turn, after those that are queued already.
    void call_soon(Callback task) { tasks_.push_back(std::move(task)); }

    /// The same for other threads: wakes the loop up. No other function may be
    /// called from them.
    void call_soon_threadsafe(Callback task) {
        const std::lock_guard lock(mutex_);
        threadsafe_tasks_.push_back(std::move(task));
        if (threadsafe_tasks_.size() == 1) ::eventfd_write(wake_up_.fd(), 1);
    }

    /// A call_soon_threadsafe() is going to come: run() does not return until a
    /// work_finished() for it.
    void work_started() { ++outstanding_work_; }
    void work_finished() { --outstanding_work_; }

    // --- Timers ---

    [[nodiscard]] TimePoint now() const { return clock_.now(); }

    /// Calls `callback` once, not before `due`. To repeat it, set the next at
    /// `due` + period: a call_later(period) would add what the callback took to
    /// every period.
    TimerHandle call_at(TimePoint due, Callback callback) {
        return timers_.set(due, std::move(callback));
    }

    /// Calls `callback` once, not before `delay` has passed.
    TimerHandle call_later(Duration delay, Callback callback) {
        return call_at(now() + delay, std::move(callback));
    }

    /// Destroys the timer's callback. False, and harmless, if it has fired or
    /// was cancelled before.
    bool cancel(const TimerHandle& timer) { return timers_.cancel(timer); }

    // --- Readiness ---

    /// Calls `callback` in every turn in which a read from `fd` would not wait:
    /// there is data, the end of input, or an error. Replaces an earlier
    /// reader. `fd` is not owned; remove the reader before `fd` is closed.
    /// Throws std::system_error and changes nothing then: EPERM (a disk file:
    /// epoll cannot watch it), ENOSPC or ENOMEM (the system cannot watch more).
    void add_reader(int fd, Callback callback) {
        poller_.add(fd, Poller::Direction::read, std::move(callback));
    }

    /// The same for writing: there is room, or an error.
    void add_writer(int fd, Callback callback) {
        poller_.add(fd, Poller::Direction::write, std::move(callback));
    }

    /// Its callback is not called again, even if it is known to be ready. False
    /// if there is none.
    bool remove_reader(int fd) {
        return poller_.remove(fd, Poller::Direction::read);
    }
    bool remove_writer(int fd) {
        return poller_.remove(fd, Poller::Direction::write);
    }

    // --- Looking on ---

    /// Calls `report` after every callback that held all the others up for
    /// `threshold` or longer, with the time that it took.
    void report_slow_callbacks(Duration threshold,
                               std::function<void(Duration)> report) {
        threshold_ = threshold;
        report_slow_ = std::move(report);
    }

private:
    /// This is the loop. Each phase is bounded, so that none keeps the others
    /// waiting: the timers and those who are ready by what there is when the
    /// phase begins, the tasks by what was queued when the turn began. A task
    /// queued now runs in the next turn, and so does a timer set by a timer.
    void turn() {
        const std::size_t queued = tasks_.size();
        call_due_timers();
        poll_io();
        call_tasks(queued);
    }

    /// Those that are due now.
    void call_due_timers() {
        if (timers_.empty()) return;
        timers_.fire(now(),
                     [this](const Callback& callback) { call(callback); });
    }

    /// The only place where the loop sleeps.
    void poll_io() {
        poller_.destroy_retired();
        // EXERCISE 05.2
        const bool must_not_sleep = stopped_ || !tasks_.empty() || !is_alive();
        const TimePoint next =
            must_not_sleep ? no_wait : timers_.next_deadline();
        const bool had_events =
            poller_.wait(clock_.poll_timeout(next),
                         [this](const Callback& callback) { call(callback); });
        if (!had_events) clock_.advance_to(next);
        // END 05.2
    }

    /// The first `count` of those that are queued.
    void call_tasks(std::size_t count) {
        for (; count > 0; --count) {
            const Callback task = std::move(tasks_.front());
            tasks_.pop_front();
            call(task);
        }
    }

    [[nodiscard]] bool is_alive() {
        // One is the loop's own
        const bool watching = poller_.count() > 1;
        if (watching || !timers_.empty() || !tasks_.empty() ||
            outstanding_work_ > 0)
            return true;
        const std::lock_guard lock(mutex_);
        return !threadsafe_tasks_.empty();
    }

    void take_threadsafe_tasks() {
        const std::lock_guard lock(mutex_);
        eventfd_t count = 0;
        ::eventfd_read(wake_up_.fd(), &count);
        for (Callback& task : threadsafe_tasks_)
            tasks_.push_back(std::move(task));
        threadsafe_tasks_.clear();
    }

    void call(const Callback& callback) {
        const TimePoint start = report_slow_ ? now() : TimePoint();
        in_callback_ = true;
        try {
            callback();
        } catch (...) {
            callback_ended(start);
            throw;
        }
        callback_ended(start);
    }

    void callback_ended(TimePoint start) {
        in_callback_ = false;
        if (!report_slow_) return;
        const Duration held_up = now() - start;
        if (held_up >= threshold_) report_slow_(held_up);
    }

    Clock& clock_;
    TimerQueue timers_;
    Poller poller_;
    std::deque<Callback> tasks_;

    std::mutex mutex_;
    // Guarded by mutex_
    std::vector<Callback> threadsafe_tasks_;
    common::Descriptor wake_up_{common::check(
        ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "cannot create an eventfd")};
    int outstanding_work_ = 0;

    bool stopped_ = false;
    bool in_callback_ = false;
    Duration threshold_{};
    std::function<void(Duration)> report_slow_;
};

}  // namespace callbacks
