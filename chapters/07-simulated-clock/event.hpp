// Waiting for something that another task does.
#pragma once

#include <coroutine>

#include "chapters/07-simulated-clock/event_loop.hpp"
#include "chapters/07-simulated-clock/wait_list.hpp"

namespace simulated {

/// Something that happens once: `co_await event.wait()` waits until somebody
/// calls `event.set()`, and does not wait after that. The loop must outlive the
/// event.
class Event {
public:
    explicit Event(EventLoop& loop) : loop_(loop) {}

    /// It has happened: all who wait are ready, in the order in which they
    /// came.
    void set() noexcept {
        is_set_ = true;
        while (!waiters_.empty()) loop_.schedule(waiters_.pop_front());
    }

    [[nodiscard]] bool is_set() const { return is_set_; }

    /// The awaiter, and with it the place among those who wait.
    class Wait : Waiter {
    public:
        explicit Wait(Event& event) : event_(event) {}
        [[nodiscard]] bool await_ready() const noexcept {
            return event_.is_set_;
        }
        void await_suspend(std::coroutine_handle<> awaiting) noexcept {
            coroutine = awaiting;
            event_.waiters_.push_back(*this);
        }
        void await_resume() const noexcept {}

    private:
        Event& event_;
    };

    [[nodiscard]] Wait wait() { return Wait(*this); }

private:
    EventLoop& loop_;
    bool is_set_ = false;
    WaitList waiters_;
};

}  // namespace simulated
