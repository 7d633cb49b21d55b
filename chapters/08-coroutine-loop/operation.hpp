// What the loop calls when epoll reports an event.
#pragma once

#include <cstdint>

#include "chapters/07-simulated-clock/wait_list.hpp"

namespace coroutines {

/// Receives the events of one descriptor. The descriptor's tag in epoll points
/// to this object, so it must not move while the descriptor is registered.
class EventSource {
public:
    virtual ~EventSource() = default;

    /// `events` (EPOLLIN...) have occurred. An implementation may schedule
    /// coroutines; it must not resume any.
    virtual void on_events(std::uint32_t events) noexcept = 0;
};

/// A system call that a coroutine waits for. The loop repeats it until it
/// succeeds or fails; only then is the coroutine resumed.
class Operation : public simulated::Waiter {
public:
    virtual ~Operation() = default;

    /// Makes the system call without blocking. Returns false if it would have
    /// blocked (EAGAIN).
    virtual bool attempt() noexcept = 0;

    /// Called after attempt() has returned false: from now on an event of the
    /// descriptor triggers the next attempt.
    virtual void wait_for_readiness() noexcept = 0;
};

}  // namespace coroutines
