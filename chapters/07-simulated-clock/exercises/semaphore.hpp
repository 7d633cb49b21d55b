// Exercise 07.3: at most so many at a time.
#pragma once

#include <coroutine>
#include <memory>
#include <utility>

#include "chapters/07-simulated-clock/event_loop.hpp"
#include "chapters/07-simulated-clock/wait_list.hpp"

namespace simulated {

/// Lets at most so many tasks in at the same time; the others wait. With one permit it is a mutex:
///
///     const Semaphore::Permit permit = co_await semaphore.acquire();
///     co_await download(url);  // the permit goes back at the end of the block
///
/// Who comes first is served first: a permit that is given back while somebody waits belongs to the
/// one who has waited longest, at once, although that task runs only later. Who is destroyed while
/// it waits is out of the queue, and what it was given by then goes to the next. The loop must
/// outlive the semaphore, and the semaphore all its permits.
class Semaphore {
    struct GiveBack {
        void operator()(Semaphore* semaphore) const noexcept { semaphore->give_back(); }
    };

public:
    /// One of the permits. It is given back when this is destroyed, or by reset().
    using Permit = std::unique_ptr<Semaphore, GiveBack>;

    /// With `permits` of them, at least 1.
    Semaphore(EventLoop& loop, int permits) : loop_(loop), free_(permits) {}

    /// The awaiter, and with it the place among those who wait.
    class Acquire : Waiter {
    public:
        explicit Acquire(Semaphore& semaphore) : semaphore_(semaphore) {}

        /// Takes a permit if one is free: then there is nothing to wait for.
        [[nodiscard]] bool await_ready() noexcept {
            // EXERCISE BEGIN 07.3 extend: at most so many at a time
            // HINT Event shows how to stand in a list. The new question: whose is a permit between
            // HINT+ the moment in which it is given back and the moment in which the next one runs?
            // HINT At every moment a permit is either counted in free_, or somebody's. Give it to
            // HINT+ the waiter itself, in its permit_: then nobody else can take it, and when the
            // HINT+ waiter is destroyed, so is its permit_.
            // HINT give_back(): nobody waits: ++free_. Else pop the first (it is an Acquire:
            // HINT+ static_cast<Acquire&>), let its permit_ be Permit(this), and make it ready.
            if (semaphore_.free_ == 0) return false;
            --semaphore_.free_;
            permit_ = Permit(&semaphore_);
            return true;
            // EXERCISE END 07.3
        }

        /// There is none: waits.
        void await_suspend(std::coroutine_handle<> awaiting) noexcept {
            // EXERCISE BEGIN 07.3 extend: at most so many at a time
            coroutine = awaiting;
            semaphore_.waiters_.push_back(*this);
            // EXERCISE END 07.3
        }

        /// The permit.
        [[nodiscard]] Permit await_resume() noexcept {
            // EXERCISE BEGIN 07.3 extend: at most so many at a time
            return std::move(permit_);
            // EXERCISE END 07.3
        }

    private:
        friend class Semaphore;
        Semaphore& semaphore_;
        Permit permit_;  // empty until there is one
    };

    [[nodiscard]] Acquire acquire() { return Acquire(*this); }

private:
    /// A permit has come back.
    void give_back() noexcept {
        // EXERCISE BEGIN 07.3 extend: at most so many at a time
        if (waiters_.empty()) {
            ++free_;
            return;
        }
        auto& next = static_cast<Acquire&>(waiters_.pop_front());
        next.permit_ = Permit(this);
        loop_.make_ready(next);
        // EXERCISE END 07.3
    }

    EventLoop& loop_;
    int free_;
    WaitList waiters_;
};

}  // namespace simulated
