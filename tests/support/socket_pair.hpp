// Both ends of a connection in one process, to test code that owns one of them.
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

/// Returns everything that can be read now from `fd`, which is non-blocking.
inline std::string read_all(int fd) {
    std::string text;
    char block[4096];
    for (ssize_t count = 0; (count = ::read(fd, block, sizeof block)) > 0;) {
        text.append(block, static_cast<std::size_t>(count));
    }
    return text;
}

/// Two connected, non-blocking sockets (socketpair(2)). The code under test gets `ours`.
struct SocketPair {
    SocketPair() {
        int ends[2];
        common::check(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
                      "a test needs a pair of sockets");
        ours = common::Descriptor(ends[0]);
        theirs = common::Descriptor(ends[1]);
    }

    /// Writes to `fd` until its buffer is full. Returns the number of bytes.
    static std::size_t fill(int fd) {
        const std::string block(4096, '#');
        std::size_t total = 0;
        for (ssize_t count = 0; (count = ::write(fd, block.data(), block.size())) > 0;) {
            total += static_cast<std::size_t>(count);
        }
        return total;
    }

    /// Sends `text` from their side.
    void say(std::string_view text) const {
        common::check(static_cast<int>(::write(theirs.fd(), text.data(), text.size())),
                      "a test writes to its end");
    }

    /// Returns what has arrived on their side since the last call.
    [[nodiscard]] std::string heard() const { return read_all(theirs.fd()); }

    common::Descriptor ours;
    common::Descriptor theirs;
};

}  // namespace support
