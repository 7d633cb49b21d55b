// What chapter 04's server does beyond its exercises: which clients a turn serves, how it pauses,
// what it says, and that no client is in the ready list twice.
#include <doctest/doctest.h>

#include <cstdint>
#include <string>

#include "tests/support/behaviours.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/server_process.hpp"
#include "tests/support/test.hpp"

namespace {

using support::Call;
using support::Peer;
using support::ServerProcess;

}  // namespace

TEST_CASE("all the clients that are ready are served in one turn") {
    for (const char* const mode : {"", "--edge"}) {
        const ServerProcess server({.arguments = mode});
        support::expect_one_turn(server, Call::epoll_wait);
    }
}

TEST_CASE("while the listener is paused, the server sleeps") {
    for (const char* const mode : {"", "--edge"}) {
        const ServerProcess server({.faults = "accept4:ENFILE@1-6", .arguments = mode});
        INFO("no descriptor was left, not even to refuse a client: that happened three times");
        Peer peer(server.port());
        peer.echo("hello\n");
        const std::uint64_t waits = server.calls(Call::epoll_wait);
        CHECK_MESSAGE(waits <= 30, "during three pauses of 100 ms epoll_wait(2) was called ", waits,
                      " times: each pause is one wait");
    }
}

TEST_CASE("it says that it refuses a client which epoll cannot watch") {
    for (const char* const mode : {"", "--edge"}) {
        const ServerProcess server({.faults = "epoll_ctl:ENOSPC@2-2", .arguments = mode});
        Peer refused(server.port());
        CHECK_FALSE(refused.is_served());
        const std::string said = server.log();
        CHECK_MESSAGE(said ==
                          "refusing a client: cannot watch a descriptor: No space left on "
                          "device\n",
                      "stderr: ", support::quoted(said));
        Peer next(server.port());
        next.echo("hello\n");
    }
}

TEST_CASE("a client that sends while it is in the ready list, and then resets, harms no other") {
    const ServerProcess server({.faults = "write:short/1", .arguments = "--edge"});
    INFO("each write took one byte, so the clients stayed in the ready list for a long time");
    for (int i = 0; i < 10; ++i) {
        Peer peer(server.port());
        peer.send(std::string(8192, 'x'));
        for (int line = 0; line < 20; ++line) {
            peer.receive(10);
            peer.send("more\n");
        }
        peer.reset();
    }
    Peer next(server.port());
    next.echo("hello\n");
    server.wait_until_asleep();
}
