// The kernel's interest list, and its two ways of reporting: level- and edge-triggered.
#include <doctest/doctest.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <list>
#include <string>
#include <system_error>

#include "chapters/04-epoll/epoll.hpp"
#include "tests/support/idle_kernel.hpp"
#include "tests/support/socket_pair.hpp"

namespace {

using namespace std::chrono_literals;
using epolling::Epoll;
using support::IdleKernel;
using support::SocketPair;

/// Returns the number of events that epoll reports without waiting.
std::size_t count(Epoll& epoll) {
    return epoll.wait(0ms).size();
}

}  // namespace

extern "C" int epoll_wait(int epoll, epoll_event* events, int most, int timeout) {
    if (IdleKernel::current == nullptr) {
        return static_cast<int>(
            ::syscall(SYS_epoll_pwait, epoll, events, most, timeout, nullptr, 0));
    }
    return IdleKernel::current->answer(std::chrono::milliseconds(timeout));
}

extern "C" int epoll_pwait(int epoll, epoll_event* events, int most, int timeout,
                           const sigset_t* /*mask*/) {
    return epoll_wait(epoll, events, most, timeout);
}

/// With an error, no epoll instance can be created, either.
extern "C" int epoll_create1(int flags) noexcept {
    if (IdleKernel::current == nullptr)
        return static_cast<int>(::syscall(SYS_epoll_create1, flags));
    errno = IdleKernel::current->error;
    return -1;
}

namespace {

TEST_CASE("04.1 only the ready descriptor is reported") {
    Epoll epoll;
    const SocketPair talks;
    const SocketPair silent;
    int a = 0;
    int b = 0;
    epoll.add(talks.ours.fd(), EPOLLIN, &a);
    epoll.add(silent.ours.fd(), EPOLLIN, &b);
    talks.say("x");
    const auto events = epoll.wait(0ms);
    REQUIRE(events.size() == 1);
    CHECK_MESSAGE(events[0].data.ptr == &a, "the event should carry the tag that add() was given");
    CHECK((events[0].events & EPOLLIN) != 0);
}

TEST_CASE("04.1 level and edge, side by side") {
    const SocketPair pair;
    Epoll level;
    Epoll edge;
    level.add(pair.ours.fd(), EPOLLIN, nullptr);
    edge.add(pair.ours.fd(), EPOLLIN | EPOLLET, nullptr);
    char byte = 0;

    CHECK(count(level) == 0);
    CHECK(count(edge) == 0);

    pair.say("ab");
    CHECK_MESSAGE(count(level) == 1, "it is readable");
    CHECK_MESSAGE(count(edge) == 1, "it became readable");

    CHECK_MESSAGE(count(level) == 1, "nothing was read: it is still readable");
    CHECK_MESSAGE(count(edge) == 0, "nothing was read: it did not become readable again");

    REQUIRE(::read(pair.ours.fd(), &byte, 1) == 1);
    CHECK_MESSAGE(count(level) == 1, "one byte is left: it is still readable");
    CHECK_MESSAGE(count(edge) == 0,
                  "one byte is left, and it will not be reported again: after an edge, read until "
                  "EAGAIN (docs/04-epoll.md)");

    pair.say("c");
    CHECK(count(level) == 1);
    CHECK_MESSAGE(count(edge) == 1, "more came: that is an edge");

    while (::read(pair.ours.fd(), &byte, 1) == 1) {
    }
    CHECK(count(level) == 0);
    CHECK(count(edge) == 0);
}

TEST_CASE("04.1 a socket is nearly always writable: level-triggered, that ends every wait") {
    const SocketPair pair;
    Epoll level;
    Epoll edge;
    level.add(pair.ours.fd(), EPOLLOUT, nullptr);
    edge.add(pair.ours.fd(), EPOLLOUT | EPOLLET, nullptr);
    for (int i = 0; i < 3; ++i) CHECK(count(level) == 1);
    CHECK_MESSAGE(count(edge) == 1, "reported once, when it is added");
    CHECK_MESSAGE(count(edge) == 0, "and not again until it has been full");
    SocketPair::fill(pair.ours.fd());
    CHECK(count(level) == 0);
    while (!pair.heard().empty()) {
    }
    CHECK(count(level) == 1);
    CHECK_MESSAGE(count(edge) == 1, "it was full and became writable: that is an edge");
}

TEST_CASE("04.1 modify() replaces the watched events") {
    const SocketPair pair;
    Epoll epoll;
    epoll.add(pair.ours.fd(), EPOLLOUT, nullptr);
    CHECK(count(epoll) == 1);
    epoll.modify(pair.ours.fd(), EPOLLIN, nullptr);
    CHECK(count(epoll) == 0);
    pair.say("x");
    CHECK(count(epoll) == 1);
}

TEST_CASE("04.1 closing a descriptor removes it from the list") {
    SocketPair pair;
    Epoll epoll;
    epoll.add(pair.ours.fd(), EPOLLIN, nullptr);
    pair.say("x");
    CHECK(count(epoll) == 1);
    pair.ours.close();
    CHECK(count(epoll) == 0);
}

TEST_CASE("04.1 a closed descriptor stays in the list while a duplicate is open") {
    SocketPair pair;
    Epoll epoll;
    epoll.add(pair.ours.fd(), EPOLLIN, nullptr);
    const common::Descriptor duplicate(::dup(pair.ours.fd()));
    pair.say("x");
    pair.ours.close();
    CHECK_MESSAGE(count(epoll) == 1,
                  "the list holds open file descriptions, not descriptor numbers "
                  "(epoll(7), docs/04-epoll.md)");
}

TEST_CASE("04.1 a wait ends at its timeout, not before") {
    Epoll epoll;
    const auto began = std::chrono::steady_clock::now();
    CHECK(epoll.wait(20ms).empty());
    CHECK(std::chrono::steady_clock::now() - began >= 20ms);
}

TEST_CASE("04.1 events that do not fit into one answer come with the next") {
    Epoll epoll;
    std::list<SocketPair> pairs(600);
    for (const SocketPair& pair : pairs) {
        epoll.add(pair.ours.fd(), EPOLLIN | EPOLLET, nullptr);
        pair.say("x");
    }
    std::size_t total = 0;
    while (const std::size_t now = count(epoll)) total += now;
    CHECK(total == 600);
}

TEST_CASE("04.1 removing a descriptor that is not watched does nothing") {
    Epoll epoll;
    const SocketPair pair;
    CHECK_NOTHROW(epoll.remove(pair.ours.fd()));
    epoll.add(pair.ours.fd(), EPOLLOUT, nullptr);
    epoll.remove(pair.ours.fd());
    CHECK(count(epoll) == 0);
    CHECK_NOTHROW(epoll.remove(pair.ours.fd()));
}

TEST_CASE("04.1 the kernel is asked to sleep for as long as wait() says") {
    Epoll epoll;
    for (const auto timeout : {-1ms, 0ms, 1ms, 2500ms}) {
        IdleKernel kernel(0);
        CHECK(epoll.wait(timeout).empty());
        CHECK_MESSAGE(kernel.sleep == timeout, "epoll_wait(2) was asked for ",
                      kernel.sleep.count() / 1000, " ms; -1: no timeout");
    }
}

TEST_CASE("04.1 a signal ends the wait without events, and any other error is thrown") {
    Epoll epoll;
    {
        IdleKernel kernel(EINTR);
        CHECK(epoll.wait(-1ms).empty());
    }
    for (const int error : {EBADF, EINVAL, ENOMEM}) {
        IdleKernel kernel(error);
        CHECK_THROWS_AS(epoll.wait(-1ms), std::system_error);
    }
    IdleKernel kernel(EMFILE);
    CHECK_THROWS_WITH_AS(Epoll(), "cannot create an epoll instance: Too many open files",
                         std::system_error);
}

TEST_CASE("04.1 a descriptor that cannot be watched is an error") {
    Epoll epoll;
    const SocketPair pair;
    epoll.add(pair.ours.fd(), EPOLLIN, nullptr);
    CHECK_THROWS_WITH(epoll.add(pair.ours.fd(), EPOLLIN, nullptr),
                      "cannot watch a descriptor: File exists");
    CHECK_THROWS_WITH(epoll.add(-1, EPOLLIN, nullptr),
                      "cannot watch a descriptor: Bad file descriptor");
}

}  // namespace
