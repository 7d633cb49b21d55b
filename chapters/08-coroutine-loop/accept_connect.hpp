// How a Socket comes into being: accepted from a listener, or connected.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <system_error>
#include <utility>

#include "chapters/08-coroutine-loop/event_loop.hpp"
#include "chapters/08-coroutine-loop/socket.hpp"
#include "common/descriptor.hpp"
#include "common/error.hpp"
#include "common/listener.hpp"

namespace coroutines {

/// `co_await accept(loop, listener)` returns the next client. Errors that pass
/// (the client has gone, no descriptor is free, the system's limit on epoll
/// watches is reached) are waited out. `loop` and `listener` must outlive the
/// task.
inline Task<Socket> accept(EventLoop& loop, common::Listener& listener) {
    Duration pause = listener.pause();
    bool refusing = false;
    while (true) {
        if (pause > Duration::zero()) co_await loop.async_sleep(pause);
        try {
            co_await loop.until_readable(listener.fd());
            common::Descriptor client = listener.accept();
            if (client) co_return Socket(loop, std::move(client));
            pause = listener.pause();
        } catch (const std::system_error& error) {
            // epoll_ctl(2): the system's limit on watches
            if (error.code() != std::errc::no_space_on_device &&
                error.code() != std::errc::not_enough_memory) {
                throw;
            }
            // One message until a client is accepted again
            if (!std::exchange(refusing, true))
                std::fprintf(stderr, "refusing clients: %s\n", error.what());
            pause = std::chrono::milliseconds(100);
        }
    }
}

/// Returns true if the connection's two ends are the same one. If no program
/// listens on a port and the kernel happens to choose that port for our own
/// end, the connection request meets itself, which TCP takes for two programs
/// that connect to each other at the same time (RFC 9293, 3.5).
inline bool is_connected_to_itself(int fd) {
    sockaddr_in ours{};
    sockaddr_in theirs{};
    socklen_t size = sizeof ours;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&ours), &size);
    ::getpeername(fd, reinterpret_cast<sockaddr*>(&theirs), &size);
    return ours.sin_port == theirs.sin_port &&
           ours.sin_addr.s_addr == theirs.sin_addr.s_addr;
}

/// `co_await connect(loop, port)` returns a connection to 127.0.0.1:`port`.
/// Throws std::system_error (ECONNREFUSED: no program listens there...). It has
/// no timeout of its own: see with_timeout().
inline Task<Socket> connect(EventLoop& loop, std::uint16_t port) {
    const std::string what =
        "cannot connect to 127.0.0.1:" + std::to_string(port);
    common::Descriptor descriptor(
        ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!descriptor) common::throw_errno(what);
    const int on = 1;
    ::setsockopt(descriptor.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);

    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::connect(descriptor.fd(), generic, sizeof address) == -1) {
        // The handshake continues without us. When it is over the socket is
        // writable, and SO_ERROR holds its result (connect(2)). The same
        // applies after EINTR.
        if (errno != EINPROGRESS && errno != EINTR) common::throw_errno(what);
        co_await loop.until_writable(descriptor.fd());
        int error = 0;
        socklen_t size = sizeof error;
        ::getsockopt(descriptor.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0)
            throw std::system_error(error, std::generic_category(), what);
    }
    if (is_connected_to_itself(descriptor.fd()))
        throw std::system_error(ECONNREFUSED, std::generic_category(), what);
    co_return Socket(loop, std::move(descriptor));
}

}  // namespace coroutines
