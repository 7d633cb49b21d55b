// An asynchronous mutex: a coroutine that finds it locked is suspended, and the
// thread continues with others.
#pragma once

#include <coroutine>
#include <memory>
#include <utility>

#include "chapters/07-simulated-clock/wait_list.hpp"
#include "chapters/08-coroutine-loop/event_loop.hpp"

namespace coroutines {

/// At most one coroutine holds it at a time, first come, first served:
///
///     const Mutex::Lock lock = co_await mutex.acquire();
///
/// The coroutine holds the mutex until the lock is destroyed: by the end of the
/// scope, by an exception, or with the frame. A coroutine that is destroyed
/// while it waits leaves the queue. The Mutex must outlive both.
class Mutex {
    struct PassOn {
        void operator()(Mutex* mutex) const noexcept { mutex->pass_on(); }
    };

public:
    /// Holds the mutex. It is unlocked by its destructor or by reset().
    using Lock = std::unique_ptr<Mutex, PassOn>;

    /// `loop` is not owned.
    explicit Mutex(EventLoop& loop) : loop_(loop) {}

    /// The awaiter of acquire(): the coroutine's entry in the queue.
    class [[nodiscard]] Acquire : simulated::Waiter {
    public:
        explicit Acquire(Mutex& mutex) : mutex_(mutex) {}
        Acquire(const Acquire&) = delete;
        Acquire& operator=(const Acquire&) = delete;

        [[nodiscard]] bool await_ready() noexcept {
            if (mutex_.locked_) return false;
            mutex_.locked_ = true;
            lock_.reset(&mutex_);
            return true;
        }
        void await_suspend(std::coroutine_handle<> handle) noexcept {
            coroutine = handle;
            mutex_.waiting_.push_back(*this);
        }
        [[nodiscard]] Lock await_resume() noexcept { return std::move(lock_); }

    private:
        friend class Mutex;
        Mutex& mutex_;
        // Empty until it is this coroutine's turn
        Lock lock_;
    };

    Acquire acquire() { return Acquire(*this); }

private:
    /// Gives the mutex to the next waiter, which resumes later. It stays locked
    /// meanwhile, so that no other coroutine can get in between.
    void pass_on() noexcept {
        locked_ = !waiting_.empty();
        if (!locked_) return;
        auto& next = static_cast<Acquire&>(waiting_.pop_front());
        next.lock_.reset(this);
        loop_.schedule(next);
    }

    EventLoop& loop_;
    bool locked_ = false;
    simulated::WaitList waiting_;
};

}  // namespace coroutines
