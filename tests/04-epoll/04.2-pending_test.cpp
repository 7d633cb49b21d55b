// Exercise 04.2: chapter 04's server updates its interest in a client only when that changes.
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

TEST_CASE("04.2 pending bytes are sent as soon as the client has room") {
    const ServerProcess server;
    support::expect_owed_bytes(server);
}

TEST_CASE("04.2 after a full buffer the client is read again") {
    const ServerProcess server;
    INFO("a client sent until all buffers were full, read it all back, and then sent a line");
    Peer peer(server.port());
    peer.receive(peer.send_until_full());
    peer.echo("and now a line\n");
    INFO("nothing is pending any more, so the client is to be watched for reading again, only");
    server.wait_until_asleep();
}

TEST_CASE("04.2 a client with nothing pending does not wake the server") {
    const ServerProcess server;
    INFO("a client sent a line, was answered, and is silent now");
    Peer peer(server.port());
    peer.echo("hello\n");
    support::expect_idle(server);
}

TEST_CASE("04.2 epoll_ctl is called only when the interest changes") {
    const ServerProcess server;
    Peer peer(server.port());
    peer.echo("hello\n");
    const std::uint64_t before = server.calls(Call::epoll_ctl);
    INFO("the client sent 100 lines, and each was answered at once");
    for (int i = 0; i < 100; ++i) peer.echo("line " + std::to_string(i) + "\n");
    const std::uint64_t calls = server.calls(Call::epoll_ctl) - before;
    CHECK_MESSAGE(calls == 0,
                  "no reply was ever pending, so nothing had to change; epoll_ctl was called ",
                  calls, " times. Registration::events holds what the kernel knows already");
}
