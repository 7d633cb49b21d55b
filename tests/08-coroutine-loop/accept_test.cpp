// Accepting and connecting when the kernel refuses: which errors are waited out, for how long, and
// what a new socket is like.
// docs/08-coroutine-loop.md, "Step 4: the socket and the server".
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "chapters/08-coroutine-loop/accept_connect.hpp"
#include "chapters/08-coroutine-loop/socket.hpp"
#include "common/descriptor.hpp"
#include "common/error.hpp"
#include "common/listener.hpp"
#include "tests/08-coroutine-loop/kernel.hpp"
#include "tests/08-coroutine-loop/world.hpp"
#include "tests/support/interposed.hpp"
#include "tests/support/test.hpp"

using common::Descriptor;
using common::Listener;
using coroutines::EventLoop;
using coroutines::Socket;
using coroutines::Task;
using testing::connect_error;
using testing::refuse_watch;
using testing::World;
using namespace std::chrono_literals;

namespace {

/// A client that is in the listener's queue when this returns.
Descriptor client_of(const Listener& listener) {
    Descriptor client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(listener.port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    common::check(::connect(client.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address),
                  "a test cannot connect");
    return client;
}

/// Accepts one client, and notes when it came.
Task<> accept_one(World& world, Listener& listener) {
    const Socket client = co_await accept(world.loop, listener);
    world.note("a client");
}

/// What `f` prints on stderr.
template <typename Function>
std::string printed(Function f) {
    const Descriptor before(::dup(STDERR_FILENO));
    std::FILE* file = std::tmpfile();
    ::dup2(::fileno(file), STDERR_FILENO);
    f();
    ::dup2(before.fd(), STDERR_FILENO);
    std::string text(1000, '\0');
    const ssize_t count = ::pread(::fileno(file), text.data(), text.size(), 0);
    std::fclose(file);
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    return text;
}

/// The number of turns that are enough; after more, the loop spins.
constexpr int enough = 100;

}  // namespace

TEST_CASE(
    "the limit on epoll watches is reached: the client is refused, and the next one comes "
    "after 100 ms") {
    for (const int error : {ENOSPC, ENOMEM}) {
        CAPTURE(error);
        World world;
        Listener listener(0, Listener::Mode::non_blocking);
        const Descriptor first = client_of(listener);
        const Descriptor second = client_of(listener);
        int failures = 0;
        refuse_watch = [&](int fd) {
            if (fd == listener.fd() || failures == 1) return 0;
            ++failures;
            return error;
        };
        world.loop.spawn("accept", accept_one(world, listener));
        world.loop.run();
        refuse_watch = nullptr;
        CHECK(failures == 1);
        CHECK(world.errors.empty());
        CHECK_MESSAGE(world.log == std::vector<std::string>{"100: a client"},
                      "the second client should be accepted 100 ms after the first was refused");
        char byte = 0;
        CHECK_MESSAGE(::recv(first.fd(), &byte, 1, 0) <= 0, "the first client should be refused");
    }
}

TEST_CASE("the listener itself cannot be watched for a while") {
    World world;
    Listener listener(0, Listener::Mode::non_blocking);
    const Descriptor client = client_of(listener);
    int failures = 0;
    refuse_watch = [&](int) { return ++failures <= 3 ? ENOSPC : 0; };
    world.loop.spawn("accept", accept_one(world, listener));
    const std::string said = printed([&] { world.loop.run(); });
    refuse_watch = nullptr;
    CHECK_MESSAGE(said == "refusing clients: cannot watch a descriptor: No space left on device\n",
                  "it failed three times in a row, and stderr should say so once; it says:\n",
                  said);
    CHECK(world.errors.empty());
    CHECK(world.log == std::vector<std::string>{"300: a client"});
}

TEST_CASE("another error of epoll_ctl is a bug: accept() throws it") {
    World world;
    Listener listener(0, Listener::Mode::non_blocking);
    refuse_watch = [](int) { return EPERM; };
    world.loop.spawn("accept", accept_one(world, listener));
    world.loop.run();
    refuse_watch = nullptr;
    REQUIRE(world.errors.size() == 1);
    CHECK(world.errors[0].starts_with("accept: "));
}

TEST_CASE(
    "no descriptor is left, not even to refuse a client: accept() pauses, also the next one") {
    World world;
    Listener listener(0, Listener::Mode::non_blocking);
    const Descriptor first = client_of(listener);
    support::Interposed calls;
    int accepts = 0;
    bool exhausted = true;
    calls.accept = [&](int fd) {
        ++accepts;
        if (accepts > enough) throw support::Spinning();
        if (!exhausted) return support::SystemCalls::real_accept(fd);
        errno = ENFILE;
        return -1;
    };
    INFO(
        "accept(2) said ENFILE; the task that called accept() was cancelled, and another calls it");
    bool still_paused = false;
    auto before = world.loop.spawn("accept", accept_one(world, listener));
    const auto look = [](World& w, Listener& on, coroutines::TaskHandle& other, int& count,
                         bool& is_exhausted, bool& is_paused) -> Task<> {
        co_await w.loop.async_sleep(10ms);
        CHECK_MESSAGE(count == 2,
                      "accept(2) should be called twice, the second time with the reserve; then "
                      "not for 100 ms. It was called ",
                      count, " times");
        other.cancel();
        is_exhausted = false;
        w.loop.spawn("accept again", accept_one(w, on));
        co_await w.loop.async_sleep(0ms);
        co_await w.loop.async_sleep(0ms);
        // By now the second accept() has begun.
        is_paused = on.paused();
    };
    world.loop.spawn("test", look(world, listener, before, accepts, exhausted, still_paused));
    world.loop.run();
    REQUIRE(world.log.size() == 1);
    // The pause is 100 ms of real time, of which a busy machine may have used all.
    if (still_paused) {
        CHECK_MESSAGE(world.log[0] != "10: a client",
                      "the listener was still to be left alone, and was asked");
    }
}

TEST_CASE("a connected socket is closed on exec, does not block, and sends at once") {
    EventLoop loop;
    const Listener listener(0, Listener::Mode::non_blocking);
    std::optional<Socket> socket;
    testing::finish(
        loop,
        [](EventLoop& l, std::uint16_t port, std::optional<Socket>& to) -> Task<> {
            to.emplace(co_await coroutines::connect(l, port));
        }(loop, listener.port(), socket),
        support::deadline());
    REQUIRE(socket.has_value());
    CHECK((::fcntl(socket->fd(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(socket->fd(), F_GETFL) & O_NONBLOCK) != 0);
    int no_delay = 0;
    socklen_t size = sizeof no_delay;
    ::getsockopt(socket->fd(), IPPROTO_TCP, TCP_NODELAY, &no_delay, &size);
    CHECK_MESSAGE(no_delay != 0, "small writes should leave at once: TCP_NODELAY");
}

TEST_CASE("connect(2) has not finished, or was interrupted: its result comes later") {
    for (const int error : {EINPROGRESS, EINTR}) {
        CAPTURE(error);
        EventLoop loop;
        std::optional<Listener> listener(std::in_place, std::uint16_t{0},
                                         Listener::Mode::non_blocking);
        const auto try_it = [&]() -> int {
            connect_error = error;
            int code = 0;
            try {
                testing::finish(
                    loop,
                    [](EventLoop& l, std::uint16_t port) -> Task<> {
                        co_await coroutines::connect(l, port);
                    }(loop, listener->port()),
                    support::deadline());
            } catch (const std::system_error& failure) {
                code = failure.code().value();
            }
            connect_error = 0;
            return code;
        };
        CHECK_MESSAGE(try_it() == 0, "a program listens: it should be connected");
        // The port is kept, but no program listens on it any more.
        ::shutdown(listener->fd(), SHUT_RDWR);
        CHECK_MESSAGE(try_it() == ECONNREFUSED, "SO_ERROR holds the result of the attempt");
    }
}
