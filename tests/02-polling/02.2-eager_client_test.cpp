// Exercise 02.2: reading ahead within a bound.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include "chapters/02-polling/exercises/eager_client.hpp"
#include "tests/support/socket_pair.hpp"

namespace {

using polling::EagerClient;
using support::SocketPair;

/// Returns text in which lost, repeated or swapped bytes show.
std::string numbered(std::size_t size) {
    std::string text;
    for (int i = 0; text.size() < size; ++i) text += std::to_string(i) + ",";
    text.resize(size);
    return text;
}

}  // namespace

TEST_CASE("02.2 a client that never reads cannot fill the server's memory") {
    SocketPair pair;
    EagerClient client(std::move(pair.ours));
    INFO("the client kept sending and never read; serve() was called after each send");
    std::size_t worst = 0;
    for (int i = 0; i < 1000; ++i) {
        SocketPair::fill(pair.theirs.fd());
        client.serve();
        worst = std::max(worst, client.owed());
    }
    CHECK_MESSAGE(
        worst <= EagerClient::most, "at most ", EagerClient::most,
        " bytes may be owed to one client; it was ", worst,
        ". Do not read from a client that is owed that much (back-pressure: docs/02-polling.md)");
    CHECK_FALSE(client.finished());
}

TEST_CASE("02.2 bytes that have been sent are freed") {
    SocketPair pair;
    EagerClient client(std::move(pair.ours));
    const std::string line = numbered(1000);
    INFO("the client sent 1000 lines of 1000 bytes, and read each answer at once");
    std::size_t worst = 0;
    for (int i = 0; i < 1000; ++i) {
        pair.say(line);
        client.serve();
        REQUIRE_MESSAGE(pair.heard() == line, "line ", i, " should have come back");
        worst = std::max(worst, client.kept());
    }
    CHECK(client.owed() == 0);
    CHECK_MESSAGE(worst <= EagerClient::most, "nothing is owed, and yet ", worst,
                  " bytes were kept for this client; at most ", EagerClient::most,
                  " may be. Bytes that have been written are no longer needed");
}

TEST_CASE("02.2 a slow reader gets every byte in order, and memory stays bounded") {
    SocketPair pair;
    EagerClient client(std::move(pair.ours));
    const std::string text = numbered(2'000'000);
    INFO("the client sent 2 MB as fast as it could, and read only in every fifth turn");
    std::size_t said = 0;
    std::string heard;
    std::size_t worst = 0;
    for (int i = 0; i < 100'000 && !client.finished(); ++i) {
        const ssize_t count = ::send(pair.theirs.fd(), text.data() + said, text.size() - said,
                                     MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count > 0) said += static_cast<std::size_t>(count);
        if (said == text.size()) ::shutdown(pair.theirs.fd(), SHUT_WR);
        client.serve();
        worst = std::max(worst, client.kept());
        if (i % 5 == 0) heard += pair.heard();
    }
    heard += pair.heard();
    CHECK_MESSAGE(client.finished(),
                  "after the end of input, and once nothing is owed, it should be finished");
    CHECK_MESSAGE(heard.size() == text.size(), text.size(), " bytes were sent, ", heard.size(),
                  " came back");
    CHECK_MESSAGE(heard == text, "the bytes should come back in the order in which they were sent");
    CHECK_MESSAGE(worst <= EagerClient::most, "at most ", EagerClient::most,
                  " bytes may be kept for one client; it was ", worst);
}
