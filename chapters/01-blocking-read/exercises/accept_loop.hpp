// Exercise 01.3: an accept loop that neither dies nor spins.
#pragma once

#include <sys/socket.h>

#include <cerrno>
#include <functional>

#include "common/descriptor.hpp"
#include "common/error.hpp"

namespace blocking {

/// Accepts one client after the other and gives each to `serve`, which owns it
/// from then on.
///
/// A client that left while it waited is not worth a word. Where the system has
/// no descriptor or no memory to spare, the loop calls `pause`, which sleeps a
/// while, before it asks again: the client still waits, so accept would fail at
/// once, and again, and again. `listener` is a listening, blocking socket.
/// Returns never; throws std::system_error where accepting can never work
/// again.
inline void accept_loop(int listener,
                        const std::function<void(common::Descriptor)>& serve,
                        const std::function<void()>& pause) {
    while (true) {
        common::Descriptor client(
            ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
        if (client) {
            serve(std::move(client));
            continue;
        }
        switch (errno) {
            // A signal came first
            case EINTR:
            // The client left while it waited
            case ECONNABORTED:
            case EPROTO:
                break;
            // This process has no descriptor left
            case EMFILE:
            // The system has no open file left
            case ENFILE:
            case ENOBUFS:
            case ENOMEM:
                pause();
                break;
            default:
                common::throw_errno("cannot accept clients");
        }
    }
}

}  // namespace blocking
