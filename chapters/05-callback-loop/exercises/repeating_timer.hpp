// Exercise 05.3: a timer that repeats, without drift.
#pragma once

#include <memory>
#include <utility>

#include "chapters/05-callback-loop/event_loop.hpp"

namespace callbacks {

/// Calls a callback at fixed times: one, two, three... periods after the timer
/// was made, however long the callbacks take. A clock on the wall needs this,
/// and so does a program that takes samples.
///
/// A call is never early. It may be late, if a callback has held the loop up.
/// Missed calls are not made up for: the late call counts for all of them, and
/// the next one is due at the first of the fixed times that is still to come.
class RepeatingTimer {
public:
    /// Starts the timer. Does not own `loop`. `period` must be more than zero.
    /// `callback` may cancel or destroy this timer. Its exceptions leave the
    /// loop's run(), and the calls go on anyway.
    RepeatingTimer(EventLoop& loop, Duration period, Callback callback)
        : loop_(loop) {
        period_ = period;
        callback_ = std::make_shared<Callback>(std::move(callback));
        set(later(loop_.now(), period_));
    }

    ~RepeatingTimer() { cancel(); }

    RepeatingTimer(const RepeatingTimer&) = delete;
    RepeatingTimer& operator=(const RepeatingTimer&) = delete;

    /// Stops the calls and destroys the callback: at once, or, if the callback
    /// itself calls this, when it has returned. Does nothing the second time.
    void cancel() {
        loop_.cancel(timer_);
        callback_.reset();
    }

private:
    EventLoop& loop_;
    // EXERCISE 05.3
    void set(TimePoint due) {
        timer_ = loop_.call_at(due, [this, due] { tick(due); });
    }

    void tick(TimePoint due) {
        // Set the next one first, so that the callback may cancel it or throw.
        const auto missed = (loop_.now() - due) / period_;
        set(later(due + missed * period_, period_));
        // The callback may destroy this object, but must outlive its own call.
        const auto callback = callback_;
        (*callback)();
    }

    Duration period_{};
    std::shared_ptr<Callback> callback_;
    TimerHandle timer_;
    // END 05.3
};

}  // namespace callbacks
