// The time that a loop goes by: the real one, or one that a test can wind.
#pragma once

#include <algorithm>
#include <chrono>

namespace callbacks {

using TimePoint = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

/// Deadlines of a wait that must not sleep, and of one that nothing but an
/// event ends.
inline constexpr TimePoint no_wait = TimePoint::min();
inline constexpr TimePoint no_deadline = TimePoint::max();

/// What time it is, and how time passes while a loop has nothing to do.
class Clock {
public:
    virtual ~Clock() = default;

    [[nodiscard]] virtual TimePoint now() const = 0;

    /// How long the kernel may let the loop sleep when its next timer is due at
    /// `next`, as epoll_wait takes it: milliseconds, -1 for ever.
    [[nodiscard]] virtual std::chrono::milliseconds poll_timeout(
        TimePoint next) const = 0;

    /// That sleep is over, and nothing was ready.
    virtual void advance_to(TimePoint next) = 0;
};

/// The clock of the machine. Steady: setting the time of day moves no timer.
class SteadyClock : public Clock {
public:
    [[nodiscard]] TimePoint now() const override {
        return std::chrono::steady_clock::now();
    }

    [[nodiscard]] std::chrono::milliseconds poll_timeout(
        TimePoint next) const override {
        using std::chrono::milliseconds;
        if (next == no_deadline) return milliseconds(-1);
        if (next == no_wait) return milliseconds(0);
        // Rounded up: a timer is never early, and no wait ends a moment too
        // soon to fire it. Not more than an hour, which fits into epoll_wait's
        // int; the loop then just waits again.
        const auto rest = std::chrono::ceil<milliseconds>(
            next - std::chrono::steady_clock::now());
        return std::clamp<milliseconds>(rest, milliseconds(0),
                                        std::chrono::hours(1));
    }

    void advance_to(TimePoint /*next*/) override {}
};

/// A clock for tests. No loop on it ever sleeps for a timer: while anything is
/// ready no time passes, and when nothing is the clock jumps to the next timer.
class SimulatedClock : public Clock {
public:
    [[nodiscard]] TimePoint now() const override { return now_; }

    [[nodiscard]] std::chrono::milliseconds poll_timeout(
        TimePoint next) const override {
        // -1: it is up to other threads
        return std::chrono::milliseconds(next == no_deadline ? -1 : 0);
    }

    void advance_to(TimePoint next) override {
        if (next != no_deadline) now_ = std::max(now_, next);
    }

    /// Lets `time` pass at once, as a callback does that computes for so long.
    void advance(Duration time) { now_ += time; }

private:
    TimePoint now_;
};

/// The one that loops use unless they are given another.
inline Clock& steady_clock() {
    static SteadyClock clock;
    return clock;
}

}  // namespace callbacks
