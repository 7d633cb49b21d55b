// Exercise 02.1: a client as a state machine. Each call of serve() does what is possible at once.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <cstddef>
#include <string>
#include <utility>

#include "chapters/02-polling/client.hpp"
#include "tests/02-polling/state.hpp"
#include "tests/support/socket_pair.hpp"
#include "tests/support/test.hpp"

namespace {

using polling::Client;
using support::expect_state;
using support::quoted;
using support::SocketPair;

/// The most that one call of serve() may move, so that no client delays the others.
constexpr std::size_t one_turn = 64 * 1024;

const std::string made_progress =
    "bytes moved, so more may be possible at once: serve() should return true";

void expect_heard(const SocketPair& pair, const std::string& text) {
    const std::string heard = pair.heard();
    CHECK_MESSAGE(heard == text, quoted(text), " should have come back; what came was ",
                  quoted(heard));
}

TEST_CASE("02.1 a silent client stays in the state reading") {
    SocketPair pair;
    Client client(std::move(pair.ours));
    for (int i = 0; i < 3; ++i) {
        CHECK_MESSAGE(!client.serve(),
                      "there was nothing to read: EAGAIN is neither an error nor "
                      "progress (docs/02-polling.md)");
        expect_state(client, "reading",
                     "EAGAIN says that there is nothing to read yet, and nothing about the client");
    }
}

TEST_CASE("02.1 what was read is written back") {
    SocketPair pair;
    Client client(std::move(pair.ours));
    for (const std::string text : {"a", "two words", "a line\n"}) {
        INFO("the client sent ", quoted(text), "; serve() was called once");
        pair.say(text);
        CHECK_MESSAGE(client.serve(), made_progress);
        expect_heard(pair, text);
        expect_state(client, "reading", "all that it was owed has been written");
    }
}

TEST_CASE("02.1 bytes that the kernel does not take stay pending and are sent later") {
    SocketPair pair;
    const std::size_t full = SocketPair::fill(pair.ours.fd());
    Client client(std::move(pair.ours));
    INFO("there was no room to write; the client sent 'owed'");
    pair.say("owed");
    client.serve();
    expect_state(client, "writing",
                 "the answer could not be written (EAGAIN), so the client is still owed it");
    CHECK_MESSAGE(!client.serve(), "nothing can move until the client reads: false");

    INFO("then the client read all that was on its way, so there was room again");
    CHECK(pair.heard().size() == full);
    CHECK_MESSAGE(client.serve(), made_progress);
    expect_heard(pair, "owed");
    expect_state(client, "reading", "all that it was owed has been written");
}

TEST_CASE("02.1 a client that is owed bytes is not read from") {
    SocketPair pair;
    SocketPair::fill(pair.ours.fd());
    const int fd = pair.ours.fd();
    Client client(std::move(pair.ours));
    pair.say("owed");
    client.serve();
    pair.say("not now");
    for (int i = 0; i < 100; ++i) client.serve();

    char waiting[100];
    const ssize_t count = ::recv(fd, waiting, sizeof waiting, MSG_PEEK);
    CHECK_MESSAGE(count == 7, "7 bytes should still be in the socket; there were ", count,
                  ". Reading on while the client does not read costs memory without bound "
                  "(back-pressure: docs/02-polling.md)");
}

TEST_CASE("02.1 a turn is bounded, however many bytes have come") {
    SocketPair pair;
    const std::size_t sent = SocketPair::fill(pair.theirs.fd());
    REQUIRE(sent > one_turn);
    Client client(std::move(pair.ours));
    std::size_t total = 0;
    INFO("the client sent ", sent, " bytes, and read after each call of serve()");
    while (client.serve()) {
        const std::size_t came = pair.heard().size();
        CHECK_MESSAGE(came <= one_turn, "one call of serve() moved ", came, " of ", sent,
                      " bytes: a client that sends much would delay the others");
        total += came;
    }
    CHECK_MESSAGE(total == sent, "all ", sent, " bytes should have come back while serve() ",
                  "returned true; it was ", total);
}

TEST_CASE("02.1 single bytes, in any mixture of reading and serving, come back in order") {
    SocketPair pair;
    Client client(std::move(pair.ours));
    std::string said;
    std::string heard;
    for (int i = 0; i < 2000; ++i) {
        said += static_cast<char>(i);
        pair.say(said.substr(said.size() - 1));
        if (i % 3 == 0) client.serve();
        if (i % 7 == 0) heard += pair.heard();
    }
    while (client.serve()) heard += pair.heard();
    heard += pair.heard();
    const std::string wrong = support::difference(heard, said);
    CHECK_MESSAGE(wrong.empty(), "the bytes should have come back in order: ", wrong);
}

TEST_CASE("02.1 after the end of input, pending bytes are delivered; then the client is finished") {
    SocketPair pair;
    const std::size_t full = SocketPair::fill(pair.ours.fd());
    Client client(std::move(pair.ours));
    pair.say("last words");
    ::shutdown(pair.theirs.fd(), SHUT_WR);
    for (int i = 0; i < 3; ++i) client.serve();
    CHECK_MESSAGE(client.state() != Client::State::finished,
                  "the end of input is not the end of the conversation: the client is still owed "
                  "10 bytes (docs/02-polling.md)");
    CHECK(pair.heard().size() == full);
    for (int i = 0; i < 3; ++i) client.serve();
    expect_heard(pair, "last words");
    expect_state(client, "finished", "the end of its input was read, and nothing is owed");
    CHECK_MESSAGE(!client.serve(), "a finished client has nothing to do: false");
}

TEST_CASE("02.1 a client that has disconnected is finished, in a read and in a write") {
    SocketPair quiet;
    Client reading(std::move(quiet.ours));
    quiet.theirs.close();
    CHECK_MESSAGE(!reading.serve(), "read(2) returned 0, the end of input: false");
    expect_state(reading, "finished", "read(2) returned 0, the end of input, and nothing is owed");

    SocketPair pair;
    SocketPair::fill(pair.ours.fd());
    Client writing(std::move(pair.ours));
    pair.say("owed");
    writing.serve();
    expect_state(writing, "writing", "there was no room for the answer");
    pair.theirs.close();
    CHECK_MESSAGE(!writing.serve(), "EPIPE: the client has disconnected");
    expect_state(writing, "finished", "write(2) failed with EPIPE: the client has disconnected");
}

TEST_CASE("destroying a client closes its descriptor") {
    SocketPair pair;
    {
        const Client client(std::move(pair.ours));
    }
    char byte = 0;
    CHECK_MESSAGE(::read(pair.theirs.fd(), &byte, 1) == 0,
                  "the other side should see the end of the connection");
}

}  // namespace
