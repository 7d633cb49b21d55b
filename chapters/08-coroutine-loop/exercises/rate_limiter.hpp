// Exercise 08.3: a limit on how often something happens, first come, first
// served.
#pragma once

#include <algorithm>

#include "chapters/08-coroutine-loop/event_loop.hpp"
#include "chapters/08-coroutine-loop/mutex.hpp"

namespace coroutines {

/// A token bucket. It holds at most `burst` tokens, and is full at first. While
/// it is not full, a new token comes every `period`. So in the long run there
/// is one token per period, and after a quiet time `burst` of them can be taken
/// at once.
///
/// It must outlive the coroutines that wait for it. It needs no task and no
/// timer of its own.
class RateLimiter {
public:
    /// `loop` is not owned. `burst` is at least 1, and `period` more than zero.
    RateLimiter(EventLoop& loop, int burst, Duration period)
        : loop_(loop), burst_(burst), period_(period) {}

    /// `co_await limiter.take()` resumes as soon as there is a token, and has
    /// taken it. Waiters are served in the order in which they came. A waiter
    /// that is destroyed while queued has taken no token, and the waiters
    /// behind it move up.
    Task<> take() {
        const Mutex::Lock turn = co_await line_.acquire();
        const TimePoint due = full_at_ - (burst_ - 1) * period_;
        if (due > loop_.now()) co_await loop_.async_sleep(due - loop_.now());
        // The token is taken only now: a waiter that is destroyed while it
        // sleeps has taken none.
        full_at_ = std::max(full_at_, loop_.now()) + period_;
    }

private:
    EventLoop& loop_;
    int burst_;
    Duration period_;
    // EXERCISE 08.3
    Mutex line_{loop_};
    // When the bucket would be full again, if no more tokens were taken
    TimePoint full_at_;
    // END 08.3
};

}  // namespace coroutines
