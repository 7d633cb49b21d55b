// Exercise 07.3: at most so many tasks at a time.
#pragma once

#include <coroutine>
#include <memory>
#include <utility>

#include "chapters/07-simulated-clock/event_loop.hpp"
#include "chapters/07-simulated-clock/wait_list.hpp"

namespace simulated {

/// Lets a limited number of tasks in at the same time. The others wait. With
/// one permit it is a mutex:
///
///     const Semaphore::Permit permit = co_await semaphore.acquire();
///     co_await download(url);  // the permit goes back at the end of the block
///
/// First come, first served: a permit that is given back while tasks wait
/// belongs at once to the task that has waited longest, although that task runs
/// later. A task that is destroyed while it waits leaves the queue, and a
/// permit that it owned by then goes to the next task. The loop must outlive
/// the semaphore, and the semaphore must outlive its permits.
class Semaphore {
    struct GiveBack {
        void operator()(Semaphore* semaphore) const noexcept {
            semaphore->give_back();
        }
    };

public:
    /// A permit. It is given back by its destructor or by reset().
    using Permit = std::unique_ptr<Semaphore, GiveBack>;

    /// `permits` is at least 1.
    Semaphore(EventLoop& loop, int permits) : loop_(loop), free_(permits) {}

    /// The awaiter of acquire(). While the task waits, it is in the queue.
    class Acquire : Waiter {
    public:
        explicit Acquire(Semaphore& semaphore) : semaphore_(semaphore) {}

        /// Takes a permit if one is free: then the task need not wait.
        [[nodiscard]] bool await_ready() noexcept {
            if (semaphore_.free_ == 0) return false;
            --semaphore_.free_;
            permit_ = Permit(&semaphore_);
            return true;
        }

        /// No permit is free: the task waits.
        void await_suspend(std::coroutine_handle<> awaiting) noexcept {
            coroutine = awaiting;
            semaphore_.waiters_.push_back(*this);
        }

        /// Returns the permit.
        [[nodiscard]] Permit await_resume() noexcept {
            return std::move(permit_);
        }

    private:
        friend class Semaphore;
        Semaphore& semaphore_;
        // Empty until the task has a permit.
        Permit permit_;
    };

    [[nodiscard]] Acquire acquire() { return Acquire(*this); }

private:
    /// Called when a permit comes back.
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
