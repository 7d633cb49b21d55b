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

/// Names one timer, for cancel(), also after it has fired: no number is given twice. Timers fire in
/// this order: by time, then as they were set. A default one names no timer.
struct Timer {
    TimePoint due;
    std::uint64_t number = 0;
    auto operator<=>(const Timer&) const = default;
};

/// Who is to be called when. Setting and cancelling cost O(log n), and what is cancelled is gone.
class TimerQueue {
public:
    Timer set(TimePoint due, Callback callback) {
        // EXERCISE BEGIN 05.1 the timer queue
        // HINT One ordered container does everything. What is its key, when two timers may be due
        // HINT+ at the same instant and cancel() has to find one of them?
        const Timer timer{due, ++last_number_};
        timers_.emplace(timer, std::move(callback));
        return timer;
        // EXERCISE END 05.1
    }

    /// Destroys its callback. False if the timer has fired or was cancelled before.
    bool cancel(const Timer& timer) {
        // EXERCISE BEGIN 05.1 the timer queue
        // HINT A std::map<Timer, Callback>, and the last number that was given. Cancelling takes
        // HINT+ the entry out: nothing to mark, nothing to remember.
        return !timers_.extract(timer).empty();
        // EXERCISE END 05.1
    }

    /// What the callbacks own may call cancel() once more, while it is destroyed here.
    void cancel_all() {
        // EXERCISE BEGIN 05.1 the timer queue
        std::exchange(timers_, {});
        // EXERCISE END 05.1
    }

    [[nodiscard]] bool empty() const {
        // EXERCISE BEGIN 05.1 the timer queue
        return timers_.empty();
        // EXERCISE END 05.1
    }

    /// When the first one is due; `never` where there is none.
    [[nodiscard]] TimePoint next_due() const {
        // EXERCISE BEGIN 05.1 the timer queue
        return timers_.empty() ? never : timers_.begin()->first.due;
        // EXERCISE END 05.1
    }

    /// Passes the callbacks that are due at `now` to `call`, one after the other. They may set and
    /// cancel timers; those that they set have to wait for the next time, even if they are due.
    /// What `call` throws leaves fire(): that timer has fired, those behind it are still to come.
    void fire(TimePoint now, const auto& call) {
        // EXERCISE BEGIN 05.1 the timer queue
        // HINT fire(): trust nothing across a call, the callback may have changed the whole queue.
        // HINT+ Take one timer out, call it, and look into the queue anew. And who was set
        // HINT+ meanwhile? Numbers only grow: remember the last one when fire() begins.
        // HINT Each round of fire(): skip what has a greater number; extract() the timer, so that
        // HINT+ it lives until its callback has returned; go on at upper_bound() of its key.
        const std::uint64_t last = last_number_;
        auto timer = timers_.begin();
        while (timer != timers_.end() && timer->first.due <= now) {
            if (timer->first.number > last) {
                ++timer;
                continue;
            }
            const auto fired = timers_.extract(timer);  // lives until its callback has returned
            call(fired.mapped());
            timer = timers_.upper_bound(fired.key());  // the callback may have changed the queue
        }
        // EXERCISE END 05.1
    }

private:
    // EXERCISE BEGIN 05.1 the timer queue
    // STUB // What it has to remember is yours to say.
    std::map<Timer, Callback> timers_;
    std::uint64_t last_number_ = 0;
    // EXERCISE END 05.1
};

}  // namespace callbacks
