// What chapter 03's server does beyond exercise 03.2: which clients it serves in a turn, and what
// it says.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <list>
#include <string>

#include "tests/support/peer.hpp"
#include "tests/support/server_process.hpp"
#include "tests/support/test.hpp"

namespace {

using support::Call;
using support::Peer;
using support::ServerProcess;

constexpr int many = 20;

/// Connects clients, each of which has been answered.
std::list<Peer> connect_many(const ServerProcess& server) {
    std::list<Peer> peers;
    for (int i = 0; i < many; ++i) {
        peers.emplace_back(server.port());
        peers.back().echo("hello\n");
    }
    return peers;
}

std::size_t count(const std::string& text, const std::string& words) {
    std::size_t found = 0;
    for (std::size_t at = 0; (at = text.find(words, at)) != std::string::npos; ++at) ++found;
    return found;
}

}  // namespace

TEST_CASE("only the clients that are ready are read from") {
    const ServerProcess server;
    std::list<Peer> peers = connect_many(server);
    const std::uint64_t before = server.calls(Call::read);
    for (int i = 0; i < 50; ++i) peers.front().echo("hello\n");
    const std::uint64_t reads = server.calls(Call::read) - before;
    CHECK_MESSAGE(reads <= 100, "one of ", many, " clients sent 50 lines, and read(2) was called ",
                  reads, " times: the others had nothing to read");
}

TEST_CASE("all the clients that are ready are served in one turn") {
    const ServerProcess server;
    std::list<Peer> peers = connect_many(server);
    const std::uint64_t before = server.calls(Call::select);
    server.pause();
    for (Peer& peer : peers) peer.send("all at once\n");
    server.signal(SIGCONT);
    for (Peer& peer : peers) peer.expect("all at once\n");
    const std::uint64_t selects = server.calls(Call::select) - before;
    CHECK_MESSAGE(selects <= 5, many, " clients had sent a line, and select(2) was called ",
                  selects, " times until all were answered: one turn is enough");
}

TEST_CASE("03.2 in each episode it says once that clients are refused") {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < 1200)
        return support::skip("this test needs 1200 descriptors in each process");
    const std::string line = "refusing clients";
    const ServerProcess server;
    std::list<Peer> peers;
    for (std::size_t episode = 1; episode <= 2; ++episode) {
        INFO("clients connected until three were refused, then ten left: time ", episode);
        for (int refused = 0; refused < 3;) {
            peers.emplace_back(server.port());
            if (!peers.back().is_served()) ++refused;
        }
        CHECK_MESSAGE(count(server.log(), line) == episode, "\"", line,
                      "\" should stand once on stderr for each such time; stderr: ",
                      support::quoted(server.log()));
        for (int i = 0; i < 10; ++i) peers.pop_front();
        support::wait_until("a new client to be served", [&] {
            peers.emplace_back(server.port());
            return peers.back().is_served();
        });
    }
}
