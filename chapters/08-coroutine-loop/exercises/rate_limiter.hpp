// Exercise 08.3: not more often than so many times a second, and first come,
// first served.
#pragma once

#include <algorithm>

#include "chapters/08-coroutine-loop/event_loop.hpp"
#include "chapters/08-coroutine-loop/mutex.hpp"

namespace coroutines {

/// A token bucket. It holds at most `burst` tokens, and is full at first. While
/// it is not full, a new token comes every `period`. So in the long run there
/// is one for each period; who has been quiet for a while may take `burst` of
/// them at once.
///
/// It must outlive whoever waits for it. It needs no task and no timer of its
/// own.
class RateLimiter {
public:
    /// `loop` is not owned. `burst` is at least 1, and `period` more than zero.
    RateLimiter(EventLoop& loop, int burst, Duration period)
        : loop_(loop), burst_(burst), period_(period) {}

    /// `co_await limiter.take()` goes on with a token, which is gone then; as
    /// soon as there is one. Those who wait stand in line: nobody is served
    /// before somebody who came earlier. Destroyed while it waits it has taken
    /// no token, and those behind it move up.
    Task<> take() {
        Mutex::Lock turn(line_);
        co_await turn;
        const TimePoint due = full_at_ - (burst_ - 1) * period_;
        if (due > loop_.now()) co_await loop_.async_sleep(due - loop_.now());
        // Taken only now: who is destroyed while it sleeps has taken nothing.
        full_at_ = std::max(full_at_, loop_.now()) + period_;
    }

private:
    EventLoop& loop_;
    int burst_;
    Duration period_;
    // EXERCISE 08.3
    Mutex line_{loop_};
    // When the bucket would be full again, if nobody took any more
    TimePoint full_at_;
    // END 08.3
};

}  // namespace coroutines
