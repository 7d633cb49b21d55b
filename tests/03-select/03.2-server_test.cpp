// Exercise 03.2: chapter 03's server waits for the right descriptors, and refuses those that
// select cannot hold.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <chrono>
#include <cstddef>
#include <list>
#include <string>

#include "tests/support/behaviours.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/server_process.hpp"
#include "tests/support/test.hpp"

namespace {

using support::Peer;
using support::ServerProcess;

}  // namespace

TEST_CASE("03.2 a silent client does not delay the others") {
    const ServerProcess server;
    INFO("three clients are connected: the first is silent, the others send lines in turn");
    const Peer silent(server.port());
    Peer second(server.port());
    Peer third(server.port());
    for (int i = 0; i < 20; ++i) {
        second.echo("second " + std::to_string(i) + "\n");
        third.echo("third " + std::to_string(i) + "\n");
    }
}

TEST_CASE("03.2 pending bytes are sent as soon as the client has room") {
    const ServerProcess server;
    support::expect_owed_bytes(server);
}

TEST_CASE("03.2 an idle server sleeps") {
    const ServerProcess server;
    INFO("two clients sent a line, were answered, and are silent now");
    Peer first(server.port());
    Peer second(server.port());
    first.echo("hello\n");
    second.echo("hello\n");
    support::expect_idle(server);
}

TEST_CASE(
    "03.2 a client whose descriptor select cannot hold is refused, and the others are served") {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < 1200)
        return support::skip("this test needs 1200 descriptors in each process");
    const ServerProcess server;
    std::list<Peer> peers;
    std::size_t served = 0;
    INFO("clients connected one after another and stayed, until one was refused");
    for (int i = 0; i < 1100; ++i) {
        peers.emplace_back(server.port());
        if (!peers.back().is_served()) break;
        ++served;
    }
    CHECK_MESSAGE(served > 1000, "at least 1000 clients should be served; served: ", served);
    CHECK_MESSAGE(served < 1024, served,
                  " clients were served: more than select can hold. FD_SET beyond 1023 writes over "
                  "other memory (SelectSet::can_hold)");
    INFO("one client was refused, which must not end the server nor harm the others");
    peers.front().echo("still here?\n");
    peers.erase(peers.begin());
    INFO("one of the served clients left, so there is room for a new one");
    support::wait_until("a new client to be served", [&] {
        peers.emplace_back(server.port());
        return peers.back().is_served();
    });
}

TEST_CASE("03.2 a paused listener is left alone") {
    using namespace std::chrono_literals;
    const ServerProcess server({.faults = "accept4:ENFILE@1-6"});
    INFO(
        "no descriptor was left, not even to refuse a client: that happened three times, and each "
        "time the listener asked for a pause of 100 ms; then the client was served");
    const auto began = std::chrono::steady_clock::now();
    Peer peer(server.port());
    peer.echo("hello\n");
    CHECK_MESSAGE(std::chrono::steady_clock::now() - began >= 300ms,
                  "the pauses were not observed. During its pause the listener stays readable, and "
                  "would end every wait at once: while it is paused(), do not watch it");
}
