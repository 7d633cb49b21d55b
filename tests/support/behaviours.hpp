// What several exercises ask of a server, in the same words.
#pragma once

#include <cstddef>

#include "tests/support/peer.hpp"
#include "tests/support/server_process.hpp"
#include "tests/support/test.hpp"

namespace support {

/// Nothing happens, so the server makes no system call. The measure of time is another server of
/// the same kind, started like it, that answers 200 requests: no sleep, no bound in seconds.
inline void expect_idle(const ServerProcess& server, const Start& start = {}) {
    INFO(
        "(if it never goes to sleep: who is watched although they are ready all the time? A socket "
        "is nearly always writable)");
    server.wait_until_asleep();
    const auto calls = server.all_calls();
    const ServerProcess other(start);
    Peer clock(other.port());
    for (int i = 0; i < 200; ++i) clock.echo("tick\n");
    CHECK_MESSAGE(server.all_calls() == calls, "nothing happened, and yet the server made ",
                  server.all_calls() - calls, " system calls");
}

/// A client sends until nothing is taken any more, then its end of input, and only then reads.
/// Meanwhile the server sleeps; then every byte comes back, and the end.
inline void expect_owed_bytes(const ServerProcess& server) {
    INFO(
        "a client sent until nothing was taken any more, then \"that is all\", and only then read");
    Peer peer(server.port());
    const std::size_t sent = peer.send_until_full();
    {
        INFO("at that point there was nothing to do but to wait for room (to write)");
        server.wait_until_asleep();
    }
    peer.half_close();
    CHECK_MESSAGE(peer.receive_to_end() == sent,
                  "every byte should have come back, and then the end. Who owes is not read from, "
                  "but written to as soon as there is room (docs/04-epoll.md)");
}

}  // namespace support
