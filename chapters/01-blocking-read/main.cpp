// Chapter 01: a TCP echo server (RFC 862) that waits in the simplest way: the
// thread sleeps in read().
//
// It serves one client at a time. A second client waits in the kernel's queue
// until the first has disconnected.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <thread>

#include "chapters/01-blocking-read/echo.hpp"
#include "common/command_line.hpp"
#include "common/descriptor.hpp"
#include "common/error.hpp"

namespace {

using common::Descriptor;

/// Creates a listening socket: socket(2), bind(2), listen(2). Port 0 means any
/// free port. Throws std::system_error.
Descriptor listen_on(std::uint16_t port) {
    const std::string what =
        "cannot listen on 127.0.0.1:" + std::to_string(port);

    Descriptor listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!listener) common::throw_errno(what);

    const int on = 1;
    // Lets the server restart while connections of its last run are still in
    // TIME_WAIT.
    setsockopt(listener.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // Accepted sockets inherit these two: send small packets at once, and
    // deliver urgent data in line.
    setsockopt(listener.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(listener.fd(), SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);

    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    // 127.0.0.1
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (bind(listener.fd(), generic, sizeof address) == -1)
        common::throw_errno(what);
    if (listen(listener.fd(), SOMAXCONN) == -1) common::throw_errno(what);

    // Port 0 means "any free port": find out which one we got.
    socklen_t size = sizeof address;
    common::check(getsockname(listener.fd(), generic, &size),
                  "cannot read the port");
    std::printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    std::fflush(stdout);
    return listener;
}

/// Sleeps until a client is in the queue, and returns its socket: accept(2).
/// Returns an empty Descriptor on failure; the listener can be asked again.
Descriptor next_client(const Descriptor& listener) {
    Descriptor client(accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client && errno != EINTR && errno != ECONNABORTED) {
        std::perror("cannot accept a client");
        // The next attempt may fail as well, so do not spin.
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return client;
}

int serve(std::uint16_t port) {
    const Descriptor listener = listen_on(port);
    while (true) {
        const Descriptor client = next_client(listener);
        if (client) blocking::echo(client.fd());
        // ~Descriptor closes the client's socket.
    }
}

}  // namespace

int main(int argc, char** argv) {
    std::uint16_t port = 7000;
    return common::run_program(
        argc, argv, "01-blocking-read", "Echoes one client after another.",
        {common::port_option(port)}, [&] { return serve(port); });
}
