// Two connected sockets, for tests that play both sides of a conversation.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "common/descriptor.hpp"
#include "common/error.hpp"

namespace testing {

/// Neither end ever sleeps in a read or a write.
struct Pair {
    Pair() {
        std::array<int, 2> ends{};
        common::check(
            ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()),
            "cannot make a socket pair");
        ours = common::Descriptor(ends[0]);
        theirs = common::Descriptor(ends[1]);
    }

    common::Descriptor ours;
    common::Descriptor theirs;
};

/// Everything that can be read from `fd` now.
inline std::string read_all(int fd) {
    std::string text;
    std::array<char, 65536> buffer;
    while (true) {
        const ssize_t count = ::read(fd, buffer.data(), buffer.size());
        if (count <= 0) return text;
        text.append(buffer.data(), static_cast<std::size_t>(count));
    }
}

/// Returns false where the kernel did not take all of it.
inline bool write_all(int fd, std::string_view text) {
    return ::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

/// Has the other side closed? Reads nothing else.
inline bool at_end(int fd) {
    char byte = 0;
    return ::recv(fd, &byte, 1, MSG_PEEK) == 0;
}

}  // namespace testing
