// What the tests of sockets share.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <stdexcept>
#include <string>
#include <system_error>

#include "chapters/08-coroutine-loop/socket.hpp"
#include "common/descriptor.hpp"
#include "common/error.hpp"
#include "common/listener.hpp"
#include "tests/05-callback-loop/pair.hpp"
#include "tests/support/test.hpp"

namespace testing {

/// One read: the text, "end", or what was thrown.
inline coroutines::Task<std::string> read_once(coroutines::Socket& socket, std::size_t room = 100) {
    std::string buffer(room, '\0');
    try {
        buffer.resize(co_await socket.read(buffer));
    } catch (const std::system_error& error) {
        co_return error.what();
    } catch (const std::logic_error& error) {
        co_return error.what();
    }
    co_return buffer.empty() ? "end" : buffer;
}

/// Both ends of a connection through the TCP of this machine, without any loop.
inline Pair tcp_pair() {
    common::Listener listener(0, common::Listener::Mode::non_blocking);
    Pair pair;
    pair.theirs = common::Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(listener.port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    common::check(::connect(pair.theirs.fd(), generic, sizeof address), "a test cannot connect");
    support::wait_until("a connection to accept", [&] {
        pair.ours = listener.accept();
        return bool(pair.ours);
    });
    return pair;
}

/// The kernel keeps little of what is written to `fd` and not yet read.
inline void make_small(int fd) {
    const int size = 4096;
    ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

}  // namespace testing
