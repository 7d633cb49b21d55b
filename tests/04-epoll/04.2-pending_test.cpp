// Exercise 04.2: chapter 04's server tells the kernel what it waits for, when that changes.
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

}  // namespace

TEST_CASE("04.2 what the client has no room for comes as soon as it has") {
    const ServerProcess server;
    support::expect_owed_bytes(server);
}

TEST_CASE("04.2 after a full buffer the client is read from again") {
    const ServerProcess server;
    INFO("a client sent 4 MB while it read them back slowly, then a line");
    Peer peer(server.port());
    peer.echo_streaming(std::string(4 << 20, 'x'));
    peer.echo("and now a line\n");
}

TEST_CASE("04.2 who is owed nothing does not wake the server up") {
    const ServerProcess server;
    INFO("a client spoke, was answered, and is silent now");
    Peer peer(server.port());
    peer.echo("hello\n");
    support::expect_idle(server);
}

TEST_CASE("04.2 the kernel is told only what has changed") {
    const ServerProcess server;
    Peer peer(server.port());
    peer.echo("hello\n");
    const std::uint64_t before = server.calls(Call::epoll_ctl);
    INFO("the client spoke 100 times and was answered at once each time");
    for (int i = 0; i < 100; ++i) peer.echo("line " + std::to_string(i) + "\n");
    const std::uint64_t told = server.calls(Call::epoll_ctl) - before;
    CHECK_MESSAGE(told == 0,
                  "no answer was ever pending, so there was nothing to tell; epoll_ctl "
                  "was called ",
                  told, " times. Registration::events says what the kernel knows already");
}
