// Exercise 01.3: an accept loop that neither dies nor spins.
#pragma once

#include <sys/socket.h>

#include <cerrno>
#include <functional>

#include "common/descriptor.hpp"
#include "common/error.hpp"

namespace blocking {

/// Accepts one client after the other and gives each to `serve`, which owns it from then on.
///
/// A client that left while it waited is not worth a word. Where the system has no descriptor or no
/// memory to spare, the loop calls `pause`, which sleeps a while, before it asks again: the client
/// still waits, so accept would fail at once, and again, and again. `listener` is a listening,
/// blocking socket. Returns never; throws std::system_error where accepting can never work again.
inline void accept_loop(int listener, const std::function<void(common::Descriptor)>& serve,
                        const std::function<void()>& pause) {
    // EXERCISE BEGIN 01.3 repair the accept loop
    // HINT Not every -1 means the same. Read the list of errors in accept(2), and sort it in three.
    // HINT Only this client (ECONNABORTED, EPROTO) or a signal (EINTR): ask again at once. No room
    // HINT+ (EMFILE, ENFILE, ENOBUFS, ENOMEM): pause first. Everything else: common::throw_errno().
    // BROKEN while (true) {
    // BROKEN     common::Descriptor client(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    // BROKEN     if (!client) continue;  // it will work the next time
    // BROKEN     serve(std::move(client));
    // BROKEN }
    while (true) {
        common::Descriptor client(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
        if (client) {
            serve(std::move(client));
            continue;
        }
        switch (errno) {
            case EINTR:         // a signal came first
            case ECONNABORTED:  // the client left while it waited
            case EPROTO:
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
    // EXERCISE END 01.3
}

}  // namespace blocking
