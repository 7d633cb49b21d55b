// One at a time, and the others wait in line: for coroutines, so no thread is
// stopped.
#pragma once

#include <coroutine>

#include "chapters/07-simulated-clock/wait_list.hpp"
#include "chapters/08-coroutine-loop/event_loop.hpp"

namespace coroutines {

/// Locked by at most one coroutine at a time; first come, first served.
///
///     Mutex::Lock lock(mutex);
///     co_await lock;           // goes on when it is ours
///     ...                      // until the end of the scope
///
/// It must outlive its locks.
class Mutex {
public:
    /// `loop` is not owned.
    explicit Mutex(EventLoop& loop) : loop_(loop) {}

    /// A variable of whoever wants the mutex: its place in line, and then the
    /// mutex itself, until it is destroyed, by an exception or with its frame
    /// too. To be awaited once.
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
    /// It stays locked, so that nobody comes in between: the next in line owns
    /// it now.
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
