// Chapter 01: a TCP echo server (RFC 862) that waits in the simplest way: by
// sleeping in read().
//
// One client after the other. Whoever comes second waits until the first has
// left.
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

/// Step 1 to 3: a socket, an address for it, and a queue in which clients wait.
Descriptor listen_on(std::uint16_t port) {
    const std::string what =
        "cannot listen on 127.0.0.1:" + std::to_string(port);

    Descriptor listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!listener) common::throw_errno(what);

    const int on = 1;
    // Without this, a restart fails for a minute while connections of the last
    // run are in TIME_WAIT.
    setsockopt(listener.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // Accepted sockets inherit these two: answer at once, and read urgent data
    // like any other.
    setsockopt(listener.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(listener.fd(), SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);

    sockaddr_in address{};
    address.sin_family = AF_INET;
    // The network's byte order
    address.sin_port = htons(port);
    // 127.0.0.1: only this machine
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (bind(listener.fd(), generic, sizeof address) == -1)
        common::throw_errno(what);
    if (listen(listener.fd(), SOMAXCONN) == -1) common::throw_errno(what);

    // Port 0 took any free one: ask which
    socklen_t size = sizeof address;
    common::check(getsockname(listener.fd(), generic, &size),
                  "cannot read the port");
    std::printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    std::fflush(stdout);
    return listener;
}

/// Step 4: sleeps until a client is there, and returns its own socket. Empty
/// when that failed; the listener is as good as before and can be asked again.
Descriptor next_client(const Descriptor& listener) {
    Descriptor client(accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client && errno != EINTR && errno != ECONNABORTED) {
        std::perror("cannot accept a client");
        // It may well fail again
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return client;
}

int serve(std::uint16_t port) {
    const Descriptor listener = listen_on(port);
    while (true) {
        const Descriptor client = next_client(listener);
        if (client) blocking::echo(client.fd());
    }
    // The client's descriptor is closed here
}

}  // namespace

int main(int argc, char** argv) {
    std::uint16_t port = 7000;
    return common::run_program(
        argc, argv, "01-blocking-read", "Echoes one client after the other.",
        {common::port_option(port)}, [&] { return serve(port); });
}
