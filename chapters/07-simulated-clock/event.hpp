// Waiting for something that another task does.
#pragma once

#include <coroutine>

#include "chapters/07-simulated-clock/event_loop.hpp"
#include "chapters/07-simulated-clock/wait_list.hpp"

namespace simulated {

/// Something that happens once: `co_await event.wait()` waits until
/// `event.set()` is called. After that it does not wait. The loop must outlive
/// the event.
class Event {
public:
    explicit Event(EventLoop& loop) : loop_(loop) {}

    /// The event has happened: all waiting tasks become ready, in the order of
    /// their arrival.
    void set() noexcept {
        is_set_ = true;
        while (!waiters_.empty()) loop_.schedule(waiters_.pop_front());
    }

    [[nodiscard]] bool is_set() const { return is_set_; }

    /// The awaiter of wait(). While the task waits, it is in the event's queue.
    class Wait : Waiter {
    public:
        explicit Wait(Event& event) : event_(event) {}
        [[nodiscard]] bool await_ready() const {
            require_unused();
            return event_.is_set_;
        }
        void await_suspend(std::coroutine_handle<> awaiting) noexcept {
            coroutine = awaiting;
            event_.waiters_.push_back(*this);
        }
        void await_resume() noexcept { coroutine = nullptr; }

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
