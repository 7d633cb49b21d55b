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

TEST_CASE("04.3 two clients that send in turn are both answered") {
    const ServerProcess server(edge);
    INFO("three clients are connected: one is silent, two send lines in turn");
    const Peer silent(server.port());
    Peer first(server.port());
    Peer second(server.port());
    for (int i = 0; i < 20; ++i) {
        first.echo("first " + std::to_string(i) + "\n");
        second.echo("second " + std::to_string(i) + "\n");
    }
}

TEST_CASE("04.3 everything that came with one edge is read") {
    const ServerProcess server(edge);
    INFO("a client sent 1 MB at once and read it back, twice");
    Peer peer(server.port());
    peer.echo_streaming(std::string(1 << 20, 'a'));
    peer.echo_streaming(std::string(1 << 20, 'b'));
}

TEST_CASE("04.3 pending bytes are sent as soon as the client has room, then the end of input") {
    const ServerProcess server(edge);
    support::expect_owed_bytes(server);
}

TEST_CASE("04.3 a registration is never modified") {
    const ServerProcess server(edge);
    Peer peer(server.port());
    peer.echo("hello\n");
    const std::uint64_t before = server.calls(Call::epoll_ctl);
    INFO("the client sent until all buffers were full, so bytes were pending, and read it all");
    peer.receive(peer.send_until_full());
    CHECK_MESSAGE(server.calls(Call::epoll_ctl) == before, "epoll_ctl was called ",
                  server.calls(Call::epoll_ctl) - before,
                  " times. Edge-triggered, one registration for both directions is enough");
}

TEST_CASE("04.3 an idle server sleeps") {
    const ServerProcess server(edge);
    INFO("a client sent a line, was answered, and is silent now; another one has left");
    Peer peer(server.port());
    Peer gone(server.port());
    gone.echo("bye\n");
    gone.close();
    peer.echo("hello\n");
    support::expect_idle(server, edge);
}

TEST_CASE("04.3 a client with much to do does not keep the loop for itself") {
    const ServerProcess server({.faults = "write:short/1", .arguments = "--edge"});
    Peer peer(server.port());
    peer.echo("hello\n");
    const std::uint64_t before = server.calls(Call::epoll_wait);
    INFO("a client sent 32 kB, and each write took one byte: its answer took 32,768 calls");
    peer.echo_streaming(std::string(32 << 10, 'x'));
    const std::uint64_t calls = server.calls(Call::epoll_wait) - before;
    CHECK_MESSAGE(calls >= 20, "meanwhile the server looked only ", calls,
                  " times whether another client was ready. Bound the calls of serve() for one "
                  "client, and go on with it after the next wait(no_wait)");
}
