// An event loop: it calls a function when a time has come, when a descriptor is
// ready, or as soon as possible.
#pragma once

#include <sys/eventfd.h>

#include <cstddef>
#include <deque>
#include <exception>
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

/// The Reactor pattern: the loop waits for all events in one place and calls
/// the callback that is registered for each. Use one loop per thread: every
/// callback runs on the thread that called run(), and other threads may only
/// call call_soon_threadsafe().
///
/// A callback may call every function of the loop except run(): it may remove
/// or cancel itself and others, close descriptors, stop the loop, and throw.
/// Its exception leaves run(). No other callback is lost, and run() may be
/// called again.
class EventLoop {
public:
    /// Does not own `clock`.
    explicit EventLoop(Clock& clock = steady_clock()) : clock_(clock) {
        add_reader(wake_up_.fd(), [this] { take_threadsafe_tasks(); });
    }

    /// Destroys all callbacks. The destructors of what they captured may still
    /// remove callbacks and cancel timers here.
    ~EventLoop() {
        // A destructor may add what another one has removed: until it is quiet.
        while (poller_.count() > 0 || !timers_.empty() || !tasks_.empty()) {
            poller_.remove_all();
            timers_.cancel_all();
            std::exchange(tasks_, {});
        }
    }

    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;

    // --- Running ---

    /// Runs turn after turn until stop() is called or until nothing is left to
    /// wait for: no task, no timer, no reader or writer, and no outstanding
    /// work. Throws std::logic_error if a callback calls it.
    void run() {
        if (in_callback_)
            throw std::logic_error("run() was called by a callback");
        while (true) {
            // What a removed callback owns may stop the loop or queue a task.
            poller_.destroy_retired();
            if (std::exchange(stopped_, false) || !is_alive()) return;
            turn();
        }
    }

    /// Makes run() return at the end of this turn, without sleeping before. If
    /// the loop is not running, its next run() returns at once.
    void stop() { stopped_ = true; }

    // --- The task queue ---

    /// Calls `task` in the next turn, after the tasks that are already queued.
    void call_soon(Callback task) { tasks_.push_back(std::move(task)); }

    /// Does the same from another thread, and wakes the loop up.
    void call_soon_threadsafe(Callback task) {
        const std::lock_guard lock(mutex_);
        threadsafe_tasks_.push_back(std::move(task));
        if (threadsafe_tasks_.size() == 1) ::eventfd_write(wake_up_.fd(), 1);
    }

    /// Counts work on other threads that will end in call_soon_threadsafe().
    /// run() does not return while there is any. Both are called on the loop's
    /// thread. (The names are Asio's.)
    void work_started() { ++outstanding_work_; }
    void work_finished() { --outstanding_work_; }

    // --- Timers ---

    [[nodiscard]] TimePoint now() const { return clock_.now(); }

    /// Calls `callback` once, not before `due`. To repeat it without drift, set
    /// the next one for `due` + period: call_later(period) would add the
    /// callback's own duration to every period.
    TimerHandle call_at(TimePoint due, Callback callback) {
        return timers_.set(due, std::move(callback));
    }

    /// Calls `callback` once, after `delay` or later. A negative delay counts
    /// as none. One that ends beyond the last time that the clock can show
    /// (Duration::max()) never ends.
    TimerHandle call_later(Duration delay, Callback callback) {
        return call_at(later(now(), delay), std::move(callback));
    }

    /// Destroys the timer's callback. Does nothing and returns false if the
    /// timer has fired or was already cancelled.
    bool cancel(const TimerHandle& timer) { return timers_.cancel(timer); }

    // --- Readiness ---

    /// Calls `callback` whenever a read from `fd` would not block: there is
    /// data, the end of input, or an error. epoll_wait hands out at most one
    /// batch (256 events) a turn: if more descriptors are ready, the rest get
    /// the next turns. Replaces an earlier reader. Does not own `fd`: remove
    /// the reader before closing it. Throws std::system_error, and changes
    /// nothing then: EPERM (epoll cannot watch a file on disk), ENOSPC or
    /// ENOMEM (the system cannot watch any more descriptors).
    void add_reader(int fd, Callback callback) {
        poller_.add(fd, Poller::Direction::read, std::move(callback));
    }

    /// Does the same for writing: there is room, or an error.
    void add_writer(int fd, Callback callback) {
        poller_.add(fd, Poller::Direction::write, std::move(callback));
    }

    /// The callback is not called again, even if the kernel has already
    /// reported its descriptor. Returns false if there is none.
    bool remove_reader(int fd) {
        return poller_.remove(fd, Poller::Direction::read);
    }
    bool remove_writer(int fd) {
        return poller_.remove(fd, Poller::Direction::write);
    }

    // --- Diagnostics ---

    /// Calls `report` after every callback that took `threshold` or longer,
    /// and so held up all the others, with the time that it took.
    void report_slow_callbacks(Duration threshold,
                               std::function<void(Duration)> report) {
        threshold_ = threshold;
        report_slow_ = std::move(report);
    }

private:
    /// One turn of the loop. Each phase is bounded, so that none starves the
    /// others: the timers and the ready descriptors by what there is when the
    /// phase begins, the tasks by what was queued when the turn began. A task
    /// that a callback queues runs in the next turn, and so does a timer that
    /// a timer sets.
    void turn() {
        const std::size_t queued = tasks_.size();
        call_due_timers();
        poll_io();
        call_tasks(queued);
    }

    /// Calls the timers that are due now.
    void call_due_timers() {
        if (timers_.empty()) return;
        timers_.fire(now(),
                     [this](const Callback& callback) { call(callback); });
    }

    /// Waits for readiness and calls the callbacks of ready descriptors. This
    /// is the only place where the loop sleeps.
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

    /// Calls the first `count` of the queued tasks.
    void call_tasks(std::size_t count) {
        for (; count > 0; --count) {
            const Callback task = std::move(tasks_.front());
            tasks_.pop_front();
            call(task);
        }
    }

    /// Returns true while there is anything left to wait for.
    [[nodiscard]] bool is_alive() {
        // One descriptor is the loop's own, wake_up_.
        const bool watching = poller_.count() > 1;
        if (watching || !timers_.empty() || !tasks_.empty() ||
            outstanding_work_ > 0)
            return true;
        const std::lock_guard lock(mutex_);
        return !threadsafe_tasks_.empty();
    }

    /// Moves what other threads have queued into the task queue.
    void take_threadsafe_tasks() {
        const std::lock_guard lock(mutex_);
        eventfd_t count = 0;
        ::eventfd_read(wake_up_.fd(), &count);
        for (Callback& task : threadsafe_tasks_)
            tasks_.push_back(std::move(task));
        threadsafe_tasks_.clear();
    }

    /// Calls `callback`, and reports it if it was slow, also when it throws.
    void call(const Callback& callback) {
        // The callback may be the one that asks for reports, or changes them.
        const bool measured = static_cast<bool>(report_slow_);
        const TimePoint start = measured ? now() : TimePoint();
        std::exception_ptr error;
        in_callback_ = true;
        try {
            callback();
        } catch (...) {
            error = std::current_exception();
        }
        in_callback_ = false;
        if (measured && report_slow_) {
            const Duration held_up = now() - start;
            // A copy, because the report may replace itself.
            const auto report = report_slow_;
            if (held_up >= threshold_) report(held_up);
        }
        if (error) std::rethrow_exception(error);
    }

    Clock& clock_;
    TimerQueue timers_;
    Poller poller_;
    std::deque<Callback> tasks_;

    std::mutex mutex_;  // guards threadsafe_tasks_
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
