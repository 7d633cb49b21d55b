// Exercise 04.4: accepting on a listener that is watched edge-triggered.
#pragma once

#include <sys/socket.h>

#include <cerrno>
#include <functional>

#include "common/descriptor.hpp"
#include "common/error.hpp"
#include "common/listener.hpp"

namespace epolling {

/// Accepts every pending connection and passes each, non-blocking and closed on
/// exec, to `welcome`, which owns it from then on.
///
/// The caller has received an edge for `listener` (non-blocking, EPOLLIN |
/// EPOLLET). One edge stands for any number of connections, and the next edge
/// comes with the next new connection. Returns when no connection is pending.
/// An error of one connection (common::concerns_one_client()) says nothing
/// about the next. Throws std::system_error for any other, also when no
/// descriptor is left (EMFILE): then a connection is still pending, and the
/// caller must try again later.
inline void accept_all(int listener,
                       const std::function<void(common::Descriptor)>& welcome) {
    while (true) {
        common::Descriptor client(::accept4(listener, nullptr, nullptr,
                                            SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (client) {
            welcome(std::move(client));
        } else if (errno == EAGAIN) {
            return;
        } else if (!common::concerns_one_client(errno)) {
            common::throw_errno("cannot accept a client");
        }
    }
}

}  // namespace epolling
