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

/// A server that answers, and the client at the other end of the connection.
struct Answering : World {
    Answering() {
        io.jobs.on_unhandled(
            [this](const std::exception_ptr& error) { unhandled += promises::message(error); });
    }

    /// Starts the answer. `outcome` says how it ended.
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

    /// Returns true if the server has closed its end: the client cannot write any more.
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
        "a client was answered with 7 + 3000000 bytes, more than the kernel takes at once; it read "
        "what arrived");
    CHECK_MESSAGE(
        heard == head.size() + client.body.size(), heard,
        " bytes arrived, then the connection was closed. What waits for the promise of "
        "write_all(body)? A handler that starts an operation has to return its promise, "
        "or the chain continues at once (docs/06-promises.md, What a handler returns or throws)");
    CHECK_MESSAGE(client.outcome == "fulfilled", "every byte has been taken");
    CHECK_MESSAGE(client.closed(), "at the end the socket should be closed");
}

TEST_CASE("06.4 while bytes are unsent, the promise is pending and the socket open") {
    Answering client;
    client.answer();
    INFO("a client was answered with 3000000 bytes, and has read nothing yet");
    CHECK_MESSAGE(client.outcome == "pending",
                  "the kernel cannot have taken all of it, and yet the promise of answer() is "
                  "settled: writing the body is not part of that chain. Nothing waits for a "
                  "promise that is neither returned nor kept");
    CHECK_MESSAGE(!client.closed(), "the socket was closed while bytes were unsent");
}

TEST_CASE("06.4 an error in the middle of the body rejects the promise of answer()") {
    Answering client;
    client.answer();
    testing::read_all(client.pair.theirs.fd());
    client.pair.theirs.close();
    client.turns(5);
    INFO("a client was answered with 3000000 bytes, read some of them, and left");
    CHECK_MESSAGE(client.outcome == "rejected",
                  "its promise should be rejected: an error travels along the chain, and only "
                  "along the chain");
}

TEST_CASE("06.4 an error that the caller handles is not reported, and the socket is closed") {
    Answering client;
    ::shutdown(client.pair.ours.fd(), SHUT_WR);  // writing fails, but the client is still connected
    client.answer();
    INFO("the head could not be written; the caller of answer() has handled the error");
    CHECK(client.outcome == "rejected");
    CHECK_MESSAGE(client.unhandled.empty(), "\"", client.unhandled,
                  "\": the same error was reported as unhandled. finally() returns a promise, too: "
                  "if you drop it, its error reaches no handler. Make finally() part of the chain "
                  "that you return, not a branch of it (docs/06-promises.md, What a handler "
                  "returns or throws)");
    CHECK_MESSAGE(client.closed(),
                  "the socket is still open: it should be closed whatever the outcome");
}
