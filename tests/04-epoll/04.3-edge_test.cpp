// Exercise 04.3: chapter 04's server, edge-triggered.
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "tests/support/behaviours.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/server_process.hpp"

namespace {

using support::Call;
using support::Peer;
using support::ServerProcess;
using support::Start;

const Start edge{.arguments = "--edge"};

}  // namespace

TEST_CASE("04.3 clients are answered in turn, however many they are") {
    const ServerProcess server(edge);
    INFO("a silent client is there, and two that speak in turn");
    const Peer silent(server.port());
    Peer first(server.port());
    Peer second(server.port());
    for (int i = 0; i < 20; ++i) {
        first.echo("first " + std::to_string(i) + "\n");
        second.echo("second " + std::to_string(i) + "\n");
    }
}

TEST_CASE("04.3 what came with one edge is read to its end") {
    const ServerProcess server(edge);
    INFO("a client sent 1 MB at once, read it back, and did so again");
    Peer peer(server.port());
    peer.echo_streaming(std::string(1 << 20, 'a'));
    peer.echo_streaming(std::string(1 << 20, 'b'));
}

TEST_CASE("04.3 what the client has no room for comes as soon as it has, then the end") {
    const ServerProcess server(edge);
    support::expect_owed_bytes(server);
}

TEST_CASE("04.3 nothing is ever told to the kernel again") {
    const ServerProcess server(edge);
    Peer peer(server.port());
    peer.echo("hello\n");
    const std::uint64_t before = server.calls(Call::epoll_ctl);
    INFO("the client sent 1 MB and read it back: it was owed something many times");
    peer.echo_streaming(std::string(1 << 20, 'x'));
    CHECK_MESSAGE(server.calls(Call::epoll_ctl) == before, "epoll_ctl was called ",
                  server.calls(Call::epoll_ctl) - before,
                  " times. Edge-triggered, both directions are watched once and for all");
}

TEST_CASE("04.3 when nothing happens the server sleeps") {
    const ServerProcess server(edge);
    INFO("a client spoke, was answered, and is silent now; another one has left");
    Peer peer(server.port());
    Peer gone(server.port());
    gone.echo("bye\n");
    gone.close();
    peer.echo("hello\n");
    support::expect_idle(server, edge);
}
