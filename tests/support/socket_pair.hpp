// Both ends of a connection in one process: for tests of what stands on one of them.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "common/descriptor.hpp"
#include "common/error.hpp"

namespace support {

/// Everything that can be read from `fd`, which does not block, now.
inline std::string read_all(int fd) {
    std::string text;
    char block[4096];
    for (ssize_t count = 0; (count = ::read(fd, block, sizeof block)) > 0;) {
        text.append(block, static_cast<std::size_t>(count));
    }
    return text;
}

/// Two connected, non-blocking sockets (socketpair(2)). `ours` is what is being tested.
struct SocketPair {
    SocketPair() {
        int ends[2];
        common::check(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
                      "a test needs a pair of sockets");
        ours = common::Descriptor(ends[0]);
        theirs = common::Descriptor(ends[1]);
    }

    /// Writes to the other end until nothing is taken any more. Returns the number of bytes.
    static std::size_t fill(int fd) {
        const std::string block(4096, '#');
        std::size_t total = 0;
        for (ssize_t count = 0; (count = ::write(fd, block.data(), block.size())) > 0;) {
            total += static_cast<std::size_t>(count);
        }
        return total;
    }

    /// Says something from their side.
    void say(std::string_view text) const {
        common::check(static_cast<int>(::write(theirs.fd(), text.data(), text.size())),
                      "a test writes to its end");
    }

    /// Whatever has come to their side so far.
    [[nodiscard]] std::string heard() const { return read_all(theirs.fd()); }

    common::Descriptor ours;
    common::Descriptor theirs;
};

}  // namespace support
