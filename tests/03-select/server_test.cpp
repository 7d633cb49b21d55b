// What chapter 03's server does beyond exercise 03.2: which clients it serves in a turn, and what
// it says.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>

#include "tests/support/behaviours.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/server_process.hpp"
#include "tests/support/test.hpp"

namespace {

using support::Call;
using support::Peer;
using support::ServerProcess;

constexpr int many = 20;

std::size_t count(const std::string& text, const std::string& words) {
    std::size_t found = 0;
    for (std::size_t at = 0; (at = text.find(words, at)) != std::string::npos; ++at) ++found;
    return found;
}

}  // namespace

TEST_CASE("only the clients that are ready are read from") {
    const ServerProcess server;
    std::list<Peer> peers = support::connect(server, many);
    const std::uint64_t before = server.calls(Call::read);
    for (int i = 0; i < 50; ++i) peers.front().echo("hello\n");
    const std::uint64_t reads = server.calls(Call::read) - before;
    CHECK_MESSAGE(reads <= 100, "one of ", many, " clients sent 50 lines, and read(2) was called ",
                  reads, " times: the others had nothing to read");
}

TEST_CASE("all the clients that are ready are served in one turn") {
    const ServerProcess server;
    support::expect_one_turn(server, Call::select);
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
