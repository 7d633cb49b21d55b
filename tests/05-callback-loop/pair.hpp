// What the tests from 05 on do with the two ends of a conversation.
#pragma once

#include <sys/socket.h>

#include <string_view>

#include "tests/support/socket_pair.hpp"

namespace testing {

using Pair = support::SocketPair;
using support::read_all;

/// Returns false if the kernel did not take all of it.
inline bool write_all(int fd, std::string_view text) {
    return ::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

/// Returns true if the other side has closed. Consumes no byte.
inline bool at_end(int fd) {
    char byte = 0;
    return ::recv(fd, &byte, 1, MSG_PEEK) == 0;
}

}  // namespace testing
