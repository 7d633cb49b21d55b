// Exercise 01.3: an accept loop that neither stops nor spins.
#pragma once

#include <sys/socket.h>

#include <cerrno>
#include <functional>

#include "common/descriptor.hpp"
#include "common/error.hpp"

namespace blocking {

/// Accepts one client after another and passes each to `serve`, which owns it
/// from then on. `listener` is a listening, blocking socket.
///
/// The sockets are close-on-exec (SOCK_CLOEXEC). A client that has left the
/// queue is skipped at once, without a message or a pause. So is one whose
/// connection has failed: on Linux, accept also returns the network's errors
/// for the new connection (accept(2), "Error handling"), and EPERM if a
/// firewall forbids it. When the
/// system is out of descriptors or memory, the loop calls `pause`, which sleeps
/// for a while, before it tries again: the client is still in the queue, so
/// accept would fail at once, over and over.
///
/// Never returns. Throws std::system_error if accept can never succeed again
/// (EBADF, EINVAL, ENOTSOCK: `listener` is not a listening socket), and only
/// then, however often it failed before.
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
            case EINTR:         // a signal came first
            case ECONNABORTED:  // the client left the queue
            // Network errors of this connection; the listener is fine.
            case EPROTO:
            case ENETDOWN:
            case ENOPROTOOPT:
            case EHOSTDOWN:
            case ENONET:
            case EHOSTUNREACH:
            case EOPNOTSUPP:
            case ENETUNREACH:
            case EPERM:  // a firewall rule
                break;
            case EMFILE:  // this process has no descriptor left
            case ENFILE:  // the system has no open file left
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
