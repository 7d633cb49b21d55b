// What the barest servers share: a listener, and the two calls of an echo. No error is handled, no
// partial write, nothing is owned: these are baselines, not servers.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>

namespace bare {

inline char buffer[16 * 1024];  // one for all: what was read is written before the next read

/// Listens on any free port of 127.0.0.1, and says on which.
inline int listen_and_say_where() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);

    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    const int on = 1;
    ::setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener, generic, sizeof address) != 0) std::perror("bind");
    ::listen(listener, SOMAXCONN);
    socklen_t size = sizeof address;
    ::getsockname(listener, generic, &size);
    std::printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    std::fflush(stdout);
    return listener;
}

/// False, and closed, if the client is gone.
inline bool echo(int client) {
    const ssize_t count = ::read(client, buffer, sizeof buffer);
    if (count > 0 && ::write(client, buffer, static_cast<std::size_t>(count)) == count) return true;
    ::close(client);
    return false;
}

}  // namespace bare
