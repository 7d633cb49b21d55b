// The clock of an event loop: the real one, or one that a test can set.
#pragma once

#include <algorithm>
#include <chrono>

namespace callbacks {

using TimePoint = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

/// The deadline of a wait that must not sleep.
inline constexpr TimePoint no_wait = TimePoint::min();
/// The deadline of a wait that only an event ends.
inline constexpr TimePoint no_deadline = TimePoint::max();

/// Returns the time that is `delay` after `time`: `time` itself if `delay` is
/// negative, and no_deadline if there is no time that late.
inline TimePoint later(TimePoint time, Duration delay) {
    if (delay <= Duration::zero()) return time;
    return delay < no_deadline - time ? time + delay : no_deadline;
}

/// Tells a loop what time it is and how long it may sleep.
class Clock {
public:
    virtual ~Clock() = default;

    [[nodiscard]] virtual TimePoint now() const = 0;

    /// Returns the timeout for epoll_wait when the next timer is due at `next`:
    /// milliseconds, or -1 to wait without a timeout.
    [[nodiscard]] virtual std::chrono::milliseconds poll_timeout(
        TimePoint next) const = 0;

    /// Called after a wait until `next` in which no descriptor became ready.
    virtual void advance_to(TimePoint next) = 0;
};

/// The machine's clock. It is steady: setting the time of day moves no timer.
class SteadyClock : public Clock {
public:
    [[nodiscard]] TimePoint now() const override {
        return std::chrono::steady_clock::now();
    }

    [[nodiscard]] std::chrono::milliseconds poll_timeout(
        TimePoint next) const override {
        using std::chrono::milliseconds;
        if (next == no_deadline) return milliseconds(-1);
        const TimePoint now = std::chrono::steady_clock::now();
        if (next <= now) return milliseconds(0);
        // Rounded up, so that no wait ends a moment before its timer is due.
        // At most an hour, which fits into epoll_wait's int: after it the loop
        // just waits again.
        const auto rest = std::chrono::ceil<milliseconds>(next - now);
        return std::min<milliseconds>(rest, std::chrono::hours(1));
    }

    void advance_to(TimePoint /*next*/) override {}
};

/// A clock for tests. A loop on it never sleeps for a timer: while any
/// descriptor is ready no time passes, and when none is, the clock jumps to the
/// next timer.
class SimulatedClock : public Clock {
public:
    [[nodiscard]] TimePoint now() const override { return now_; }

    [[nodiscard]] std::chrono::milliseconds poll_timeout(
        TimePoint next) const override {
        // Without a timer, only a descriptor or another thread can end the
        // wait.
        return std::chrono::milliseconds(next == no_deadline ? -1 : 0);
    }

    void advance_to(TimePoint next) override {
        if (next != no_deadline) now_ = std::max(now_, next);
    }

    /// Moves the clock on by `time`, like a callback that computes for so long.
    void advance(Duration time) { now_ = later(now_, time); }

private:
    TimePoint now_;
};

/// Returns the clock of every loop that is not given another one.
inline Clock& steady_clock() {
    static SteadyClock clock;
    return clock;
}

}  // namespace callbacks
