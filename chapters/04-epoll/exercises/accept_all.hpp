// Exercise 04.4: accepting on a listener that is watched edge-triggered.
#pragma once

#include <sys/socket.h>

#include <cerrno>
#include <functional>

#include "common/descriptor.hpp"
#include "common/error.hpp"

namespace epolling {

/// Accepts every client that waits, and gives each to `welcome`, which owns it
/// from then on.
///
/// Called when an edge was reported for `listener` (non-blocking, EPOLLIN |
/// EPOLLET): "somebody has come". There is one edge for however many came
/// together, and no other before somebody new comes. Returns when nobody waits
/// any more. Throws std::system_error, also where there is no descriptor left
/// (EMFILE): then somebody still waits, and the caller must come back.
inline void accept_all(int listener,
                       const std::function<void(common::Descriptor)>& welcome) {
    while (true) {
        common::Descriptor client(::accept4(listener, nullptr, nullptr,
                                            SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (client) {
            welcome(std::move(client));
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR && errno != ECONNABORTED && errno != EPROTO) {
            common::throw_errno("cannot accept a client");
        }
    }
}

}  // namespace epolling
