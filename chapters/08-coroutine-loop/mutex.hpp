// An asynchronous mutex: a coroutine that finds it locked is suspended, and the
// thread continues with others.
#pragma once

#include <coroutine>

#include "chapters/07-simulated-clock/wait_list.hpp"
#include "chapters/08-coroutine-loop/event_loop.hpp"

namespace coroutines {

/// At most one coroutine holds it at a time, first come, first served. After
///
///     Mutex::Lock lock(mutex);
///     co_await lock;
///
/// the coroutine holds the mutex until the end of the scope. The Mutex must
/// outlive its locks.
class Mutex {
public:
    /// `loop` is not owned.
    explicit Mutex(EventLoop& loop) : loop_(loop) {}

    /// A local variable of the coroutine that wants the mutex. It is first the
    /// coroutine's entry in the queue, and after the `co_await` the ownership
    /// of the mutex, until it is destroyed: by the end of the scope, by an
    /// exception, or with the frame. It may be awaited once.
    class Lock : simulated::Waiter {
    public:
        explicit Lock(Mutex& mutex) : mutex_(mutex) {}
        Lock(const Lock&) = delete;
        Lock& operator=(const Lock&) = delete;
        ~Lock() {
            if (mutex_.owner_ == this) mutex_.pass_on();
        }

        [[nodiscard]] bool await_ready() const noexcept {
            return mutex_.owner_ == nullptr;
        }
        void await_suspend(std::coroutine_handle<> handle) {
            coroutine = handle;
            mutex_.waiting_.push_back(*this);
        }
        void await_resume() noexcept { mutex_.owner_ = this; }

    private:
        friend class Mutex;
        Mutex& mutex_;
    };

private:
    /// Hands the mutex to the next waiter. It stays locked meanwhile, so that
    /// no other coroutine can get in between.
    void pass_on() {
        owner_ = nullptr;
        if (waiting_.empty()) return;
        auto& next = static_cast<Lock&>(waiting_.pop_front());
        owner_ = &next;
        loop_.schedule(next);
    }

    EventLoop& loop_;
    Lock* owner_ = nullptr;
    simulated::WaitList waiting_;
};

}  // namespace coroutines
