// Exercise 04.1: a wait that ends without an event.
#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>

#include "chapters/04-epoll/epoll.hpp"
#include "tests/support/interruptions.hpp"
#include "tests/support/socket_pair.hpp"
#include "tests/support/test.hpp"

using namespace std::chrono_literals;

TEST_CASE("04.1 a signal ends a wait, and there are no events") {
    const support::Interruptions interruptions;
    const support::SocketPair silent;
    epolling::Epoll epoll;
    epoll.add(silent.ours.fd(), EPOLLIN, nullptr);
    support::waiting_for("wait() to return: a signal ends it early, with no events");
    std::size_t events = 0;
    CHECK_NOTHROW_MESSAGE(events = epoll.wait(-1ms).size(),
                          "EINTR is no failure: a signal came first");
    CHECK_MESSAGE(events == 0, "no descriptor was ready, and yet there were ", events, " events");
}

TEST_CASE("04.1 nothing is ready, so there are no events") {
    const support::SocketPair silent;
    epolling::Epoll epoll;
    epoll.add(silent.ours.fd(), EPOLLIN, nullptr);
    const std::size_t events = epoll.wait(0ms).size();
    CHECK_MESSAGE(events == 0, "no descriptor was ready, and yet there were ", events,
                  " events. The array has room for more than epoll_wait(2) filled in: its result "
                  "is their number");
}
