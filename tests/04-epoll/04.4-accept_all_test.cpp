// Exercise 04.4: one edge for however many came.
#include <doctest/doctest.h>
#include <sys/epoll.h>

#include <cerrno>
#include <deque>
#include <list>
#include <string>
#include <system_error>
#include <vector>

#include "chapters/04-epoll/epoll.hpp"
#include "chapters/04-epoll/exercises/accept_all.hpp"
#include "common/listener.hpp"
#include "tests/support/interposed.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/test.hpp"

namespace {

using common::Descriptor;
using common::Listener;
using epolling::accept_all;

/// Accepts without end come from a loop that does not know when to stop.
struct Counted : support::Interposed {
    Counted() {
        accept = [this](int fd) {
            if (++calls > 1000) throw support::Spinning();
            if (errors.empty()) return real_accept(fd);
            const int error = errors.front();
            errors.pop_front();
            if (error == 0) return real_accept(fd);
            errno = error;
            return -1;
        };
    }

    std::deque<int> errors;  // what the next calls fail with; 0: they do not
    int calls = 0;
};

int accepted(int listener) {
    int count = 0;
    accept_all(listener, [&count](const Descriptor&) { ++count; });
    return count;
}

}  // namespace

TEST_CASE("04.4 three came together: one edge, three clients") {
    const Listener listener(0, Listener::Mode::non_blocking);
    const Counted counted;
    std::list<support::Peer> peers;
    INFO("three clients connected, then accept_all() was called once");
    for (int i = 0; i < 3; ++i) peers.emplace_back(listener.port());
    const int count = accepted(listener.fd());
    CHECK_MESSAGE(count == 3, "all three should have been accepted; it was ", count,
                  ". Edge-triggered: you are told once, so go on until EAGAIN "
                  "(docs/04-epoll.md)");
    CHECK_MESSAGE(accepted(listener.fd()) == 0, "now nobody waits any more");
}

TEST_CASE("04.4 behind a client that has left, others wait") {
    const Listener listener(0, Listener::Mode::non_blocking);
    Counted counted;
    std::list<support::Peer> peers;
    for (int i = 0; i < 2; ++i) peers.emplace_back(listener.port());
    counted.errors = {ECONNABORTED, EINTR, 0, EPROTO};
    INFO(
        "accept(2) said ECONNABORTED and EINTR, then gave a client, then said EPROTO; behind "
        "that another client waited");
    const int count = accepted(listener.fd());
    CHECK_MESSAGE(count == 2, "both clients should have been accepted; it was ", count,
                  ". Only EAGAIN says that nobody waits");
}

TEST_CASE("04.4 a full table is the caller's business") {
    const Listener listener(0, Listener::Mode::non_blocking);
    Counted counted;
    std::list<support::Peer> peers;
    for (int i = 0; i < 2; ++i) peers.emplace_back(listener.port());
    counted.errors.assign(2000, EMFILE);
    counted.errors.front() = 0;
    INFO("a client was accepted, then accept(2) said EMFILE");
    int error = 0;
    int count = 0;
    try {
        accept_all(listener.fd(), [&count](const Descriptor&) { ++count; });
    } catch (const std::system_error& thrown) {
        error = thrown.code().value();
    } catch (const support::Spinning&) {
        error = -1;
    }
    CHECK(count == 1);
    CHECK_MESSAGE(error != -1, "it tried again and again: the table stays full while it does");
    CHECK_MESSAGE(error == EMFILE,
                  "accept_all() returned as if all was well. A client still "
                  "waits, and no other edge will come: throw");
}
