// Exercise 02.2: reading ahead within a bound.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include "chapters/02-polling/exercises/eager_client.hpp"
#include "tests/support/socket_pair.hpp"
#include "tests/support/test.hpp"

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

/// The end of input ends it only when nothing is owed; a disconnect ends it at once.
void check_its_end() {
    SocketPair pair;
    SocketPair::fill(pair.ours.fd());
    EagerClient client(std::move(pair.ours));
    INFO("there was no room to write; the client sent 'owed' and ended its input");
    pair.say("owed");
    ::shutdown(pair.theirs.fd(), SHUT_WR);
    for (int i = 0; i < 3; ++i) client.serve();
    CHECK_MESSAGE(!client.finished(), "4 bytes are still owed");
    CHECK(client.owed() == 4);
    INFO("then the client disconnected");
    pair.theirs.close();
    for (int i = 0; i < 3; ++i) client.serve();
    CHECK_MESSAGE(client.finished(), "the write failed with EPIPE: it should be finished");
}

}  // namespace

TEST_CASE("02.2 a client that never reads cannot fill the server's memory") {
    check_its_end();
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
    const int client_fd = pair.ours.fd();
    EagerClient client(std::move(pair.ours));
    const std::string text = numbered(2'000'000);
    INFO(
        "the client sent 2 MB as fast as it could, and read 4 kB a turn, so it was owed bytes all "
        "the time");
    const int small = 8 * 1024;  // else the kernel, not the server, keeps what it has not read
    ::setsockopt(client_fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
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
        char block[4096];
        const ssize_t came = ::recv(pair.theirs.fd(), block, sizeof block, MSG_DONTWAIT);
        if (came > 0) heard.append(block, static_cast<std::size_t>(came));
    }
    heard += pair.heard();
    CHECK_MESSAGE(client.finished(),
                  "after the end of input, and once nothing is owed, it should be finished");
    CHECK_MESSAGE(
        heard.size() == text.size(), text.size(), " bytes were sent, ", heard.size(),
        " came back. (A read(2) of 0 bytes returns 0, too: that is not the end of input)");
    const std::string wrong = support::difference(heard, text);
    CHECK_MESSAGE(wrong.empty(),
                  "the bytes should come back in the order in which they were sent: ", wrong);
    CHECK_MESSAGE(worst <= EagerClient::most, "at most ", EagerClient::most,
                  " bytes may be kept for one client; it was ", worst);
}
