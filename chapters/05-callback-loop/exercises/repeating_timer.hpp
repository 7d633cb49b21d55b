// Exercise 05.3: a timer that repeats, without drift.
#pragma once

#include <memory>
#include <utility>

#include "chapters/05-callback-loop/event_loop.hpp"

namespace callbacks {

/// Calls back at fixed times: one period after it was made, two, three, and so
/// on, whatever the callbacks take. For a clock on the wall, or for whoever
/// samples something.
///
/// A call may be late, when another callback or the last call has held the loop
/// up; it is never early. What was missed is not made up for: the late call
/// counts for all of it, and the next one is at the first of the fixed times
/// that is still to come.
class RepeatingTimer {
public:
    /// Begins at once. `loop` is not owned; `period` is more than zero.
    /// `callback` may cancel or destroy this timer. What it throws leaves the
    /// loop's run(); the calls go on all the same.
    RepeatingTimer(EventLoop& loop, Duration period, Callback callback)
        : loop_(loop) {
        period_ = period;
        callback_ = std::make_shared<Callback>(std::move(callback));
        set(loop_.now() + period_);
    }

    ~RepeatingTimer() { cancel(); }

    RepeatingTimer(const RepeatingTimer&) = delete;
    RepeatingTimer& operator=(const RepeatingTimer&) = delete;

    /// No call from now on. Lets go of the callback: what it owned is gone at
    /// once, or, called from inside, as soon as it has returned. Harmless the
    /// second time.
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
        // The next one first: then the callback may cancel it, or throw.
        const auto missed = (loop_.now() - due) / period_;
        set(due + (missed + 1) * period_);
        // It may destroy this object, but not itself
        const auto callback = callback_;
        (*callback)();
    }

    Duration period_{};
    std::shared_ptr<Callback> callback_;
    TimerHandle timer_;
    // END 05.3
};

}  // namespace callbacks
