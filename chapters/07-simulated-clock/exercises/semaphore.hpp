// Exercise 07.3: at most so many at a time.
#pragma once

#include <coroutine>
#include <memory>
#include <utility>

#include "chapters/07-simulated-clock/event_loop.hpp"
#include "chapters/07-simulated-clock/wait_list.hpp"

namespace simulated {

/// Lets at most so many tasks in at the same time; the others wait. With one
/// permit it is a mutex:
///
///     const Semaphore::Permit permit = co_await semaphore.acquire();
///     co_await download(url);  // the permit goes back at the end of the block
///
/// Who comes first is served first: a permit that is given back while somebody
/// waits belongs to the one who has waited longest, at once, although that task
/// runs only later. Who is destroyed while it waits is out of the queue, and
/// what it was given by then goes to the next. The loop must outlive the
/// semaphore, and the semaphore all its permits.
class Semaphore {
    struct GiveBack {
        void operator()(Semaphore* semaphore) const noexcept {
            semaphore->give_back();
        }
    };

public:
    /// One of the permits. It is given back when this is destroyed, or by
    /// reset().
    using Permit = std::unique_ptr<Semaphore, GiveBack>;

    /// With `permits` of them, at least 1.
    Semaphore(EventLoop& loop, int permits) : loop_(loop), free_(permits) {}

    /// The awaiter, and with it the place among those who wait.
    class Acquire : Waiter {
    public:
        explicit Acquire(Semaphore& semaphore) : semaphore_(semaphore) {}

        /// Takes a permit if one is free: then there is nothing to wait for.
        [[nodiscard]] bool await_ready() noexcept {
            if (semaphore_.free_ == 0) return false;
            --semaphore_.free_;
            permit_ = Permit(&semaphore_);
            return true;
        }

        /// There is none: waits.
        void await_suspend(std::coroutine_handle<> awaiting) noexcept {
            coroutine = awaiting;
            semaphore_.waiters_.push_back(*this);
        }

        /// The permit.
        [[nodiscard]] Permit await_resume() noexcept {
            return std::move(permit_);
        }

    private:
        friend class Semaphore;
        Semaphore& semaphore_;
        // Empty until there is one
        Permit permit_;
    };

    [[nodiscard]] Acquire acquire() { return Acquire(*this); }

private:
    /// A permit has come back.
    void give_back() noexcept {
        if (waiters_.empty()) {
            ++free_;
            return;
        }
        auto& next = static_cast<Acquire&>(waiters_.pop_front());
        next.permit_ = Permit(this);
        loop_.schedule(next);
    }

    EventLoop& loop_;
    int free_;
    WaitList waiters_;
};

}  // namespace simulated
