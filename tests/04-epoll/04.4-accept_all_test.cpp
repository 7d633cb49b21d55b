// Exercise 04.4: one edge stands for any number of new connections.
#include <doctest/doctest.h>
#include <fcntl.h>
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

/// Counts the calls of accept, and ends a loop that never stops calling it.
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

    std::deque<int> errors;  // the errors of the next calls; 0: no error
    int calls = 0;
};

int accepted(int listener) {
    int count = 0;
    accept_all(listener, [&count](const Descriptor&) { ++count; });
    return count;
}

}  // namespace

TEST_CASE("04.4 after one edge, all three pending clients are accepted, non-blocking") {
    const Listener listener(0, Listener::Mode::non_blocking);
    const Counted counted;
    std::list<support::Peer> peers;
    INFO("three clients connected, then accept_all() was called once");
    for (int i = 0; i < 3; ++i) peers.emplace_back(listener.port());
    int count = 0;
    int non_blocking = 0;
    accept_all(listener.fd(), [&](const Descriptor& client) {
        ++count;
        if ((::fcntl(client.fd(), F_GETFL) & O_NONBLOCK) != 0) ++non_blocking;
        CHECK_MESSAGE((::fcntl(client.fd(), F_GETFD) & FD_CLOEXEC) != 0,
                      "a program that the server starts should not inherit the client");
    });
    CHECK_MESSAGE(count == 3, "all three should have been accepted; accepted: ", count,
                  ". An edge is reported once, so continue until EAGAIN "
                  "(docs/04-epoll.md)");
    CHECK_MESSAGE(
        non_blocking == count,
        "every client should be non-blocking: accept(2) does not pass on the flags of the "
        "listener, and a read until EAGAIN would sleep in the kernel");
    CHECK_MESSAGE(accepted(listener.fd()) == 0, "no connection should be pending any more");
}

TEST_CASE("04.4 an error of one connection does not hide the next one") {
    const Listener listener(0, Listener::Mode::non_blocking);
    Counted counted;
    std::list<support::Peer> peers;
    for (int i = 0; i < 2; ++i) peers.emplace_back(listener.port());
    counted.errors = {ECONNABORTED, EINTR, 0, EPROTO, ENETDOWN, EHOSTUNREACH};
    INFO(
        "accept(2) failed with ECONNABORTED and EINTR, then returned a client, then failed with "
        "EPROTO, ENETDOWN and EHOSTUNREACH; another client was pending");
    int count = 0;
    try {
        accept_all(listener.fd(), [&count](const Descriptor&) { ++count; });
    } catch (const std::system_error& error) {
        FAIL_CHECK("it threw \"", error.what(),
                   "\", but the error concerned one connection only (accept(2), \"Error "
                   "handling\"). Only EAGAIN means that no connection is pending");
    }
    CHECK_MESSAGE(count == 2, "both clients should have been accepted; accepted: ", count,
                  ". Only EAGAIN means that no connection is pending");
}

TEST_CASE("04.4 a full descriptor table is reported to the caller") {
    const Listener listener(0, Listener::Mode::non_blocking);
    Counted counted;
    std::list<support::Peer> peers;
    for (int i = 0; i < 2; ++i) peers.emplace_back(listener.port());
    counted.errors.assign(2000, EMFILE);
    counted.errors.front() = 0;
    INFO("a client was accepted, then accept(2) failed with EMFILE");
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
    CHECK_MESSAGE(error != -1, "it tried again and again: meanwhile the table stays full");
    CHECK_MESSAGE(error == EMFILE,
                  "accept_all() returned as if all were well. A connection is still pending, and "
                  "no other edge will come for it: throw");
}
