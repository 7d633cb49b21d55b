// Exercise 08.3: not more often than so many times a second, and first come, first served.
#pragma once

#include <algorithm>

#include "chapters/08-coroutine-loop/event_loop.hpp"
#include "chapters/08-coroutine-loop/mutex.hpp"

namespace coroutines {

/// A token bucket. It holds at most `burst` tokens, and is full at first. While it is not full, a
/// new token comes every `period`. So in the long run there is one for each period; who has been
/// quiet for a while may take `burst` of them at once.
///
/// It must outlive whoever waits for it. It needs no task and no timer of its own.
class RateLimiter {
public:
    /// `loop` is not owned. `burst` is at least 1, and `period` more than zero.
    RateLimiter(EventLoop& loop, int burst, Duration period)
        : loop_(loop), burst_(burst), period_(period) {}

    /// `co_await limiter.take()` goes on with a token, which is gone then; as soon as there is one.
    /// Those who wait stand in line: nobody is served before somebody who came earlier. Destroyed
    /// while it waits it has taken no token, and those behind it move up.
    Task<> take() {
        // EXERCISE BEGIN 08.3 extend: a rate limiter
        // HINT Two waits, one after the other: for those who came before, and for the token.
        // HINT A line that one leaves by being destroyed, and that is passed on whoever leaves: the
        // HINT+ Mutex in mutex.hpp. Hold its Lock until you have your token.
        // HINT Nobody needs to count tokens. Remember when the bucket will be full again: if that
        // HINT+ is in (burst - 1) periods or less, there is at least one token in it.
        // HINT Lock the mutex; sleep until (burst_ - 1) * period_ before full_at_, if that is to
        // HINT+ come; and only then take it: full_at_ = max(full_at_, now) + period_.
        Mutex::Lock turn(line_);
        co_await turn;
        const TimePoint due = full_at_ - (burst_ - 1) * period_;
        if (due > loop_.now()) co_await loop_.sleep_for(due - loop_.now());
        // Taken only now: who is destroyed while it sleeps has taken nothing.
        full_at_ = std::max(full_at_, loop_.now()) + period_;
        // EXERCISE END 08.3
    }

private:
    EventLoop& loop_;
    int burst_;
    Duration period_;
    // EXERCISE BEGIN 08.3 extend: a rate limiter
    // STUB // what has to be remembered from one take() to the next
    Mutex line_{loop_};
    TimePoint full_at_;  // when the bucket would be full again, if nobody took any more
    // EXERCISE END 08.3
};

}  // namespace coroutines
