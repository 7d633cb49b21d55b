// Timers, in the order in which they are due.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "chapters/05-callback-loop/clock.hpp"

namespace callbacks {

using Callback = std::function<void()>;

/// Names one timer, for cancel(), also after it has fired: no number is given
/// twice. Timers fire in this order: by time, then as they were set. A default
/// one names no timer.
struct TimerHandle {
    TimePoint due;
    std::uint64_t id = 0;
    auto operator<=>(const TimerHandle&) const = default;
};

/// Who is to be called when. Setting and cancelling cost O(log n), and what is
/// cancelled is gone.
class TimerQueue {
public:
    TimerHandle set(TimePoint due, Callback callback) {
        const TimerHandle timer{due, ++last_id_};
        timers_.emplace(timer, std::move(callback));
        return timer;
    }

    /// Destroys its callback. False if the timer has fired or was cancelled
    /// before.
    bool cancel(const TimerHandle& timer) {
        return !timers_.extract(timer).empty();
    }

    /// What the callbacks own may call cancel() once more, while it is
    /// destroyed here.
    void cancel_all() { std::exchange(timers_, {}); }

    [[nodiscard]] bool empty() const { return timers_.empty(); }

    /// When the first one is due; `no_deadline` where there is none.
    [[nodiscard]] TimePoint next_deadline() const {
        return timers_.empty() ? no_deadline : timers_.begin()->first.due;
    }

    /// Passes the callbacks that are due at `now` to `call`, one after the
    /// other. They may set and cancel timers; those that they set have to wait
    /// for the next time, even if they are due. What `call` throws leaves
    /// fire(): that timer has fired, those behind it are still to come.
    void fire(TimePoint now, const auto& call) {
        const std::uint64_t last = last_id_;
        auto timer = timers_.begin();
        while (timer != timers_.end() && timer->first.due <= now) {
            if (timer->first.id > last) {
                ++timer;
                continue;
            }
            // Lives until its callback has returned
            const auto fired = timers_.extract(timer);
            call(fired.mapped());
            // The callback may have changed the queue
            timer = timers_.upper_bound(fired.key());
        }
    }

private:
    // EXERCISE 05.1
    std::map<TimerHandle, Callback> timers_;
    std::uint64_t last_id_ = 0;
    // END 05.1
};

}  // namespace callbacks
