// Timers, ordered by the time at which they are due.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "chapters/05-callback-loop/clock.hpp"

namespace callbacks {

using Callback = std::function<void()>;

/// Identifies one timer, for cancel(). It stays safe to use after the timer has
/// fired, because no id is used twice. Timers fire in this order: by time, and
/// at the same time in the order in which they were set. A default-constructed
/// handle identifies no timer.
struct TimerHandle {
    TimePoint due;
    std::uint64_t id = 0;
    auto operator<=>(const TimerHandle&) const = default;
};

/// Holds callbacks until they are due. Setting and cancelling a timer cost
/// O(log n), and a cancelled timer leaves nothing behind.
class TimerQueue {
public:
    /// Adds a timer that fires once. `due` may be in the past.
    TimerHandle set(TimePoint due, Callback callback) {
        const TimerHandle timer{due, ++last_id_};
        timers_.emplace(timer, std::move(callback));
        return timer;
    }

    /// Destroys the timer's callback. Returns false if the timer has fired or
    /// was already cancelled.
    bool cancel(const TimerHandle& timer) {
        return !timers_.extract(timer).empty();
    }

    /// Destroys all callbacks. The destructors of what they captured may still
    /// call cancel().
    void cancel_all() { std::exchange(timers_, {}); }

    [[nodiscard]] bool empty() const { return timers_.empty(); }

    /// Returns when the first timer is due, or `no_deadline` if there is none.
    [[nodiscard]] TimePoint next_deadline() const {
        return timers_.empty() ? no_deadline : timers_.begin()->first.due;
    }

    /// Passes the callbacks that are due at `now` to `call`, one after another.
    /// They may set and cancel timers. A timer that they set waits for the next
    /// fire(), even if it is already due. An exception from `call` leaves
    /// fire(): that timer has fired, and the timers behind it still will.
    void fire(TimePoint now, const auto& call) {
        const std::uint64_t last = last_id_;
        auto timer = timers_.begin();
        while (timer != timers_.end() && timer->first.due <= now) {
            if (timer->first.id > last) {
                ++timer;
                continue;
            }
            const TimerHandle fired = timer->first;
            // Taken out, the callback lives until it has returned. What it
            // owns is destroyed then, and may cancel other timers.
            call(timers_.extract(timer).mapped());
            // Only now is the queue at rest: look again.
            timer = timers_.upper_bound(fired);
        }
    }

private:
    // EXERCISE 05.1
    std::map<TimerHandle, Callback> timers_;
    std::uint64_t last_id_ = 0;
    // END 05.1
};

}  // namespace callbacks
