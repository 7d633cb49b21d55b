// Behaviours that the tests of several exercises check.
#pragma once

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <list>
#include <string>

#include "tests/support/peer.hpp"
#include "tests/support/server_process.hpp"
#include "tests/support/test.hpp"

namespace support {

/// While nothing happens, the server makes no system call. The measure of time is another server of
/// the same kind, started the same way, that answers 200 requests: no sleep, no bound in seconds.
inline void expect_idle(const ServerProcess& server, const Start& start = {}) {
    INFO(
        "(if it never goes to sleep: which descriptor is watched although it is always ready? A "
        "socket is nearly always writable)");
    server.wait_until_asleep();
    const auto calls = server.all_calls();
    const ServerProcess other(start);
    Peer clock(other.port());
    for (int i = 0; i < 200; ++i) clock.echo("tick\n");
    CHECK_MESSAGE(server.all_calls() == calls, "nothing happened, and yet the server made ",
                  server.all_calls() - calls, " system calls");
}

/// A client sends until all buffers are full, ends its input, and only then reads. Until it reads,
/// the server sleeps; then every byte comes back, and the end of the connection.
inline void expect_owed_bytes(const ServerProcess& server) {
    INFO("a client sent until all buffers were full, ended its input, and only then read");
    Peer peer(server.port());
    const std::size_t sent = peer.send_until_full();
    {
        INFO("at that point the server had nothing to do but to wait for room (to write)");
        server.wait_until_asleep();
    }
    peer.half_close();
    CHECK_MESSAGE(peer.receive_to_end() == sent,
                  "every byte should have come back, and then the end. A client that is owed "
                  "bytes is not read from, but written to when there is room");
}

/// Connects clients, each of which has been answered.
inline std::list<Peer> connect(const ServerProcess& server, int count) {
    std::list<Peer> peers;
    for (int i = 0; i < count; ++i) {
        peers.emplace_back(server.port());
        peers.back().echo("hello\n");
    }
    return peers;
}

/// Many clients send while the server is stopped. Then one turn answers them all, so the server
/// calls `wait`, with which it waits for events, a few times only.
inline void expect_one_turn(const ServerProcess& server, Call wait) {
    std::list<Peer> peers = connect(server, 20);
    const std::uint64_t before = server.calls(wait);
    server.pause();
    for (Peer& peer : peers) peer.send("all at once\n");
    server.signal(SIGCONT);
    for (Peer& peer : peers) peer.expect("all at once\n");
    const std::uint64_t waits = server.calls(wait) - before;
    CHECK_MESSAGE(waits <= 5, peers.size(), " clients had sent a line, and ",
                  std::string(call_names[static_cast<std::size_t>(wait)]), "(2) was called ", waits,
                  " times until all were answered: one turn is enough");
}

}  // namespace support
