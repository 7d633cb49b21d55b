// Exercise 06.4: an answer that is cut off.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <cstddef>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "chapters/06-promises/exercises/answer.hpp"
#include "chapters/06-promises/io.hpp"
#include "chapters/06-promises/job_queue.hpp"
#include "tests/05-callback-loop/pair.hpp"
#include "tests/06-promises/world.hpp"

namespace {

using promises::Socket;
using testing::Pair;
using testing::World;

constexpr std::string_view head = "200 OK\n";

/// A client at the other end of a connection, who is being answered.
struct Answering : World {
    Answering() {
        io.jobs.on_unhandled(
            [this](const std::exception_ptr& error) { unhandled += promises::message(error); });
    }

    /// Begins. `outcome` says how it ended.
    void answer() {
        socket.emplace(io, std::move(pair.ours));
        promises::answer(*socket, head, body)
            .then([this] { outcome = "fulfilled"; },
                  [this](const std::exception_ptr&) { outcome = "rejected"; });
        turns(5);
    }

    void turns(int count) {
        for (; count > 0; --count) {
            io.loop.call_soon([this] { io.loop.stop(); });
            io.loop.run();
        }
    }

    /// The server has closed its end: nothing that the client says can arrive any more.
    [[nodiscard]] bool closed() const { return !testing::write_all(pair.theirs.fd(), "hello?"); }

    Pair pair;
    std::string body = std::string(3'000'000, '#');
    std::optional<Socket> socket;
    std::string outcome = "pending";
    std::string unhandled;
};

}  // namespace

TEST_CASE("06.4 an answer of any size arrives whole, however slowly it is read") {
    Answering client;
    client.answer();
    std::size_t heard = 0;
    for (int i = 0; i < 1000 && heard < head.size() + client.body.size(); ++i) {
        heard += testing::read_all(client.pair.theirs.fd()).size();
        client.turns(1);
    }
    client.turns(5);
    INFO(
        "a client was answered with 7 + 3000000 bytes, more than the kernel takes at once; it "
        "read whatever came");
    CHECK_MESSAGE(heard == head.size() + client.body.size(), heard,
                  " bytes came, then the connection was closed. Who waits for the promise of "
                  "write_all(body)? A handler that starts something has to return its promise, or "
                  "the chain goes on at once (docs/06-promises.md, Adoption and errors)");
    CHECK_MESSAGE(client.outcome == "fulfilled", "every byte has been taken");
    CHECK_MESSAGE(client.closed(), "at the end the socket should be closed");
}

TEST_CASE("06.4 as long as bytes are owed, the promise is pending and the socket open") {
    Answering client;
    client.answer();
    INFO("a client was answered with 3000000 bytes, and has read nothing yet");
    CHECK_MESSAGE(client.outcome == "pending",
                  "the kernel cannot have taken all of it, and yet the promise of answer() is "
                  "settled: the writing of the body is no part of that chain. A promise that is "
                  "neither returned nor kept is one that nobody waits for");
    CHECK_MESSAGE(!client.closed(), "the socket was closed while bytes were owed");
}

TEST_CASE("06.4 an error in the middle of the body arrives at whoever waits") {
    Answering client;
    client.answer();
    testing::read_all(client.pair.theirs.fd());
    client.pair.theirs.close();
    client.turns(5);
    INFO("a client was answered with 3000000 bytes, read some of them, and left");
    CHECK_MESSAGE(client.outcome == "rejected",
                  "whoever waits for answer() should hear of it: an error travels along the chain, "
                  "and only along the chain");
}

TEST_CASE("06.4 an error that the caller handles is nobody else's, and the socket is closed") {
    Answering client;
    ::shutdown(client.pair.ours.fd(), SHUT_WR);  // so writing fails, and the client is still there
    client.answer();
    INFO("the head could not be written; whoever called answer() has handled the error");
    CHECK(client.outcome == "rejected");
    CHECK_MESSAGE(client.unhandled.empty(), "\"", client.unhandled,
                  "\": the same error was reported as unhandled. finally() returns a promise, too: "
                  "where that is dropped, its error is nobody's. Make it a link of the chain that "
                  "you return, not a branch of it (docs/06-promises.md, Adoption and errors)");
    CHECK_MESSAGE(client.closed(), "the socket is still open: it should be closed in any case");
}
