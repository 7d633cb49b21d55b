// Sockets: reading, writing, accepting, connecting, and the traps of edge triggering. More of them
// in 08.1-socket_test.cpp.
// docs/08-coroutine-loop.md, "Step 5: fairness, and the traps of edge triggering".
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "chapters/08-coroutine-loop/accept_connect.hpp"
#include "chapters/08-coroutine-loop/socket.hpp"
#include "common/descriptor.hpp"
#include "common/error.hpp"
#include "common/listener.hpp"
#include "tests/05-callback-loop/pair.hpp"
#include "tests/08-coroutine-loop/kernel.hpp"
#include "tests/08-coroutine-loop/sockets.hpp"
#include "tests/08-coroutine-loop/world.hpp"
#include "tests/support/test.hpp"

using common::Descriptor;
using common::Listener;
using coroutines::EventLoop;
using coroutines::Socket;
using coroutines::Task;
using coroutines::TimedOut;
using coroutines::when_all;
using coroutines::with_timeout;
using testing::before_connect;
using testing::finish;
using testing::make_small;
using testing::Pair;
using testing::read_once;
using testing::tcp_pair;
using testing::World;
using namespace std::chrono_literals;

namespace {

using Log = std::vector<std::string>;

/// Reads to the end.
Task<std::string> read_to_end(Socket& socket) {
    std::string all;
    std::array<char, 4096> buffer;
    while (true) {
        const std::size_t count = co_await socket.read(buffer);
        if (count == 0) co_return all;
        all.append(buffer.data(), count);
    }
}

/// Connects to `port`, and disconnects. Throws as connect() does.
void connect_once(EventLoop& loop, std::uint16_t port) {
    const auto task = [](EventLoop& l, std::uint16_t to) -> Task<> {
        co_await coroutines::connect(l, to);
    };
    finish(loop, task(loop, port), support::deadline());
}

}  // namespace

TEST_SUITE("reading and writing") {
    TEST_CASE("a read waits until bytes come, and returns 0 at the end") {
        World world;
        Pair pair;
        Socket socket(world.loop, std::move(pair.ours));
        world.loop.spawn("peer", [](World& w, Descriptor& peer) -> Task<> {
            co_await w.loop.async_sleep(10ms);
            testing::write_all(peer.fd(), "hello");
            co_await w.loop.async_sleep(10ms);
            peer.close();
        }(world, pair.theirs));
        finish(world.loop, [](World& w, Socket& s) -> Task<> {
            w.note(co_await read_once(s));
            w.note(co_await read_once(s));
            w.note(co_await read_once(s));
        }(world, socket));
        CHECK(world.log == Log{"10: hello", "20: end", "20: end"});
        CHECK(world.is_quiet());
    }

    TEST_CASE("write_all resumes when the kernel has taken everything") {
        World world;
        Pair pair;
        make_small(pair.ours.fd());
        Socket socket(world.loop, std::move(pair.ours));
        Socket peer(world.loop, std::move(pair.theirs));
        const std::string data(300'000, 'x');
        std::string came;
        finish(
            world.loop,
            [](World& w, Socket& s, Socket& p, const std::string& d, std::string& all) -> Task<> {
                const auto write = [](World& x, Socket& to, const std::string& what) -> Task<> {
                    co_await to.write_all(what);
                    x.note("all written");
                };
                const auto read = [](World& x, Socket& from, std::string& into) -> Task<> {
                    co_await x.loop.async_sleep(1ms);
                    x.note("now the peer reads");
                    while (into.size() < 300'000) into += co_await read_once(from, 10'000);
                };
                co_await when_all(write(w, s, d), read(w, p, all));
            }(world, socket, peer, data, came));
        CHECK(came == data);
        CHECK(world.log == Log{"1: now the peer reads", "1: all written"});
        CHECK(world.is_quiet());
    }

    TEST_CASE("last_activity() is kept from its first call on, in both directions") {
        World world;
        Pair pair;
        Socket socket(world.loop, std::move(pair.ours));
        finish(world.loop, [](World& w, Socket& s, int peer) -> Task<> {
            // Not kept: it was not asked for yet.
            co_await s.write_all("x");
            co_await w.loop.async_sleep(5ms);
            CHECK(s.last_activity() == w.loop.now());
            const auto began = w.loop.now();
            co_await w.loop.async_sleep(5ms);
            CHECK(s.last_activity() == began);
            testing::write_all(peer, "x");
            co_await read_once(s);
            CHECK(s.last_activity() == began + 5ms);
            co_await w.loop.async_sleep(5ms);
            co_await s.write_all("y");
            CHECK(s.last_activity() == began + 10ms);
        }(world, socket, pair.theirs.fd()));
    }
}

TEST_SUITE("the traps of edge triggering") {
    TEST_CASE("a read that is complete makes room for the next one, although it still exists") {
        World world;
        Pair pair;
        Socket socket(world.loop, std::move(pair.ours));
        INFO("the first read waits for its bytes, and is complete when the second one begins");
        world.loop.spawn("peer", [](EventLoop& loop, int fd) -> Task<> {
            co_await loop.async_sleep(1ms);
            testing::write_all(fd, "abcd");
        }(world.loop, pair.theirs.fd()));
        std::size_t count = 0;
        finish(world.loop, [](Socket& s, std::size_t& sum) -> Task<> {
            std::array<char, 1> a{};
            std::array<char, 2> b{};
            auto first = s.read(a);
            sum = co_await first;
            sum += co_await s.read(b);
        }(socket, count));
        CHECK(count == 3);
    }

    TEST_CASE(
        "a read that is complete is not made again, although the loop was stopped meanwhile") {
        World world;
        Pair pair;
        const Pair other;
        Socket socket(world.loop, std::move(pair.ours));
        INFO("'one' comes, the loop is stopped before the reader resumes, 'two' comes");
        world.loop.spawn("stop", [](EventLoop& loop, int fd) -> Task<> {
            co_await loop.until_readable(fd);
            loop.stop();
        }(world.loop, other.ours.fd()));
        world.loop.spawn("reader", [](World& w, Socket& s) -> Task<> {
            w.note(co_await read_once(s));
            w.note(co_await read_once(s));
        }(world, socket));
        world.loop.spawn("peer", [](EventLoop& loop, int first, int second) -> Task<> {
            co_await loop.async_sleep(1ms);
            testing::write_all(first, "x");
            testing::write_all(second, "one");
        }(world.loop, other.theirs.fd(), pair.theirs.fd()));
        world.loop.run();
        REQUIRE(world.log.empty());
        testing::write_all(pair.theirs.fd(), "two");
        world.loop.run();
        CHECK(world.log == Log{"1: one", "1: two"});
    }

    TEST_CASE(
        "a task that never waits, alone on its loop, is no deadlock when its budget is spent") {
        World world;
        Pair pair;
        testing::write_all(pair.theirs.fd(), std::string(200, '#'));
        Socket socket(world.loop, std::move(pair.ours));
        int reads = 0;
        world.loop.spawn("greedy", [](Socket& s, int& count) -> Task<> {
            std::array<char, 1> byte{};
            for (; count < 200; ++count) co_await s.read(byte);
        }(socket, reads));
        world.loop.run();
        CHECK(reads == 200);
        CHECK(world.milliseconds() == 0);
    }

    TEST_CASE(
        "two tasks that never wait share the turns evenly, and each has a budget of its own") {
        World world;
        Pair one;
        Pair two;
        for (const Pair* pair : {&one, &two}) {
            testing::write_all(pair->theirs.fd(), std::string(2000, '#'));
        }
        Socket first(world.loop, std::move(one.ours));
        Socket second(world.loop, std::move(two.ours));
        std::array<int, 2> reads{};
        std::array<int, 2> seen{};
        int turns = 0;
        const auto greedy = [](Socket& s, std::array<int, 2>& all, std::size_t mine,
                               int& other) -> Task<> {
            std::array<char, 1> byte{};
            while (all[mine] < 2000) {
                co_await s.read(byte);
                ++all[mine];
            }
            other = all[1 - mine];
        };
        world.loop.spawn("first", greedy(first, reads, 0, seen[0]));
        world.loop.spawn("second", greedy(second, reads, 1, seen[1]));
        world.loop.spawn("turns",
                         [](EventLoop& loop, std::array<int, 2>& all, int& count) -> Task<> {
                             while (all[0] + all[1] < 4000) {
                                 co_await loop.async_sleep(0ms);
                                 ++count;
                             }
                         }(world.loop, reads, turns));
        world.loop.run();
        CHECK_MESSAGE(std::max(seen[0], seen[1]) > 1800,
                      "when one task had made its 2,000 reads, the other had made ",
                      std::max(seen[0], seen[1]));
        // A budget of 32 operations a turn: 63 turns
        CHECK_MESSAGE(turns < 100, "2,000 reads each took ", turns,
                      " turns: a turn lets a task make many");
    }
    TEST_CASE("data and the end over TCP, while the coroutine is busy") {
        EventLoop loop;
        Pair pair = tcp_pair();
        Socket socket(loop, std::move(pair.ours));
        Log log;
        loop.spawn("peer", [](EventLoop& l, Descriptor& peer) -> Task<> {
            co_await l.async_sleep(0ms);
            testing::write_all(peer.fd(), "one ");
            co_await l.async_sleep(0ms);
            testing::write_all(peer.fd(), "two");
            ::shutdown(peer.fd(), SHUT_WR);
        }(loop, pair.theirs));
        finish(
            loop,
            [](Socket& s, Log& heard) -> Task<> { heard.push_back(co_await read_to_end(s)); }(
                                          socket, log),
            support::deadline());
        CHECK(log == Log{"one two"});
    }

    TEST_CASE("a reset that arrives with the data") {
        EventLoop loop;
        Pair pair = tcp_pair();
        Socket socket(loop, std::move(pair.ours));
        loop.spawn("peer", [](EventLoop& l, Descriptor& peer) -> Task<> {
            co_await l.async_sleep(0ms);
            testing::write_all(peer.fd(), "data");
            const linger at_once{1, 0};
            ::setsockopt(peer.fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
            peer.close();
        }(loop, pair.theirs));
        std::string last;
        finish(
            loop,
            [](Socket& s, std::string& said) -> Task<> {
                for (int i = 0; i < 2 && !said.starts_with("cannot"); ++i) {
                    said = co_await read_once(s);
                }
            }(socket, last),
            support::deadline());
        CHECK(last == "cannot read: Connection reset by peer");
    }

    TEST_CASE("a second reader or writer gets an error, and the first one continues") {
        World world;
        Pair pair;
        make_small(pair.ours.fd());
        Socket socket(world.loop, std::move(pair.ours));
        Socket peer(world.loop, std::move(pair.theirs));
        const std::string data(100'000, 'x');
        finish(world.loop, [](World& w, Socket& s, Socket& p, const std::string& d) -> Task<> {
            const auto read = [](World& x, Socket& from, std::string who) -> Task<> {
                x.note(who + " " + co_await read_once(from));
            };
            const auto write = [](World& x, Socket& to, std::string_view what,
                                  std::string who) -> Task<> {
                try {
                    co_await to.write_all(what);
                    x.note(who + " wrote");
                } catch (const std::logic_error& error) {
                    x.note(who + " " + error.what());
                }
            };
            const auto other_side = [](World& x, Socket& from) -> Task<> {
                co_await x.loop.async_sleep(1ms);
                co_await from.write_all("hello");
                for (std::size_t count = 0; count < 100'000;) {
                    count += (co_await read_once(from, 10'000)).size();
                }
            };
            co_await when_all(read(w, s, "1"), read(w, s, "2"), write(w, s, d, "3"),
                              write(w, s, "y", "4"), other_side(w, p));
        }(world, socket, peer, data));
        CHECK(world.log == Log{"0: 2 two coroutines wait for the same direction of a socket",
                               "0: 4 two coroutines wait for the same direction of a socket",
                               "1: 1 hello", "1: 3 wrote"});
    }
}

TEST_SUITE("a socket that goes") {
    TEST_CASE("a socket destroyed while one coroutine reads and one writes: both get ECANCELED") {
        World world;
        Pair pair;
        make_small(pair.ours.fd());
        std::optional<Socket> socket(std::in_place, world.loop, std::move(pair.ours));
        world.loop.spawn("reader", [](World& w, Socket& s) -> Task<> {
            w.note(co_await read_once(s));
        }(world, *socket));
        world.loop.spawn("writer", [](World& w, Socket& s) -> Task<> {
            const std::string data(300'000, 'x');
            try {
                co_await s.write_all(data);
            } catch (const std::system_error& error) {
                w.note(error.what());
            }
        }(world, *socket));
        world.loop.spawn("closer", [](World& w, std::optional<Socket>& s) -> Task<> {
            co_await w.loop.async_sleep(1ms);
            CHECK(w.loop.waiting() == 2);
            s.reset();
            CHECK(w.loop.waiting() == 0);
        }(world, socket));
        world.loop.run();
        CHECK(world.log ==
              Log{"1: cannot read: Operation canceled", "1: cannot write: Operation canceled"});
    }

    TEST_CASE("a socket destroyed when the bytes are there, but the reader has not resumed yet") {
        World world;
        Pair pair;
        std::optional<Socket> socket(std::in_place, world.loop, std::move(pair.ours));
        const int peer = pair.theirs.fd();
        world.loop.spawn("closer", [](World& w, std::optional<Socket>& s, int fd) -> Task<> {
            co_await w.loop.until_readable(
                fd);  // the kernel's first event: resumes before the reader
            s.reset();
        }(world, socket, peer));
        world.loop.spawn("reader", [](World& w, Socket& s) -> Task<> {
            w.note(co_await read_once(s));
        }(world, *socket));
        world.loop.spawn("start", [](World& w, Socket& s, int fd) -> Task<> {
            co_await w.loop.async_sleep(1ms);
            co_await s.write_all("for the closer");
            testing::write_all(fd, "for the reader");
        }(world, *socket, peer));
        world.loop.run();
        CHECK(world.log == Log{"1: for the reader"});
        CHECK(world.is_quiet());
    }

    TEST_CASE("a socket whose descriptor was duplicated is destroyed: epoll forgets it") {
        World world;
        Pair pair;
        // As in a child process: it keeps the connection open.
        const Descriptor duplicate(::fcntl(pair.ours.fd(), F_DUPFD_CLOEXEC, 0));
        {
            const Socket socket(world.loop, std::move(pair.ours));
        }
        testing::write_all(pair.theirs.fd(), "hello");
        CHECK_MESSAGE(
            world.loop.epoll().wait(0ms).empty(),
            "the Socket is gone, and epoll reports an event with a tag that points to it: "
            "epoll watches the connection, which the duplicate keeps open");
    }

    TEST_CASE("a socket destroyed while a read is put off to the next turn: ECANCELED") {
        World world;
        Pair pair;
        std::optional<Socket> socket(std::in_place, world.loop, std::move(pair.ours));
        testing::write_all(pair.theirs.fd(), std::string(1000, '#'));
        world.loop.spawn("reader", [](World& w, Socket& s) -> Task<> {
            std::array<char, 1> byte{};
            int count = 0;
            try {
                for (;; ++count) co_await s.read(byte);
            } catch (const std::system_error& error) {
                w.note(error.what());
            }
            CHECK_MESSAGE(count < 1000, "its budget is spent long before");
        }(world, *socket));
        world.loop.spawn("closer", [](std::optional<Socket>& s) -> Task<> {
            s.reset();
            co_return;
        }(socket));
        world.loop.run();
        CHECK(world.log == Log{"0: cannot read: Operation canceled"});
        CHECK(world.is_quiet());
    }

    TEST_CASE("a socket may move while a coroutine waits for it") {
        World world;
        Pair pair;
        Socket first(world.loop, std::move(pair.ours));
        world.loop.spawn("reader", [](World& w, Socket& s) -> Task<> {
            w.note(co_await read_once(s));
        }(world, first));
        world.loop.spawn("mover", [](World& w, Socket& s, int fd) -> Task<> {
            co_await w.loop.async_sleep(1ms);
            const Socket second(std::move(s));
            testing::write_all(fd, "hello");
            co_await w.loop.async_sleep(1ms);
        }(world, first, pair.theirs.fd()));
        world.loop.run();
        CHECK(world.log == Log{"1: hello"});
    }
}

TEST_SUITE("accepting and connecting") {
    TEST_CASE("a client and a server on one loop") {
        EventLoop loop;
        Listener listener(0, Listener::Mode::non_blocking);
        std::string came;
        finish(
            loop,
            [](EventLoop& l, Listener& on, std::string& text) -> Task<> {
                auto [server, client] =
                    co_await when_all(accept(l, on), coroutines::connect(l, on.port()));
                co_await client.write_all("hello");
                text = co_await read_once(server);
            }(loop, listener, came),
            support::deadline());
        CHECK(came == "hello");
        CHECK(loop.waiting() == 0);
    }

    TEST_CASE("connect to a port without a listener: ECONNREFUSED") {
        EventLoop loop;
        std::uint16_t port = 0;
        {
            port = Listener(0, Listener::Mode::non_blocking).port();
        }
        try {
            connect_once(loop, port);
            FAIL_CHECK("it should have thrown");
        } catch (const std::system_error& error) {
            CHECK(error.code().value() == ECONNREFUSED);
            CHECK(std::string(error.what()) ==
                  "cannot connect to 127.0.0.1:" + std::to_string(port) + ": Connection refused");
        }
        CHECK(loop.waiting() == 0);
    }

    TEST_CASE("connect does not connect to itself") {
        EventLoop loop;
        std::uint16_t port = 0;
        {
            port = Listener(0, Listener::Mode::non_blocking).port();
        }
        INFO("no program listens on the port, and the kernel chooses it for our own end");
        before_connect = [](int fd, const sockaddr* address, socklen_t size) {
            const int on = 1;
            ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
            common::check(::bind(fd, address, size), "a test cannot bind");
        };
        int code = 0;
        try {
            connect_once(loop, port);
        } catch (const std::system_error& error) {
            code = error.code().value();
        }
        before_connect = nullptr;
        CHECK_MESSAGE(code == ECONNREFUSED, "no program listens there, and yet connect() ",
                      code == 0 ? std::string("returned a connection, whose other end is itself")
                                : "failed for another reason");
    }

    TEST_CASE("connect to a listener with a full queue: a timeout, and the attempt is gone") {
        World world;  // its clock jumps as soon as nothing happens
        const Descriptor listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        auto* generic = reinterpret_cast<sockaddr*>(&address);
        socklen_t size = sizeof address;
        common::check(::bind(listener.fd(), generic, size), "a test cannot bind");
        common::check(::listen(listener.fd(), 0), "a test cannot listen");
        common::check(::getsockname(listener.fd(), generic, &size), "a test needs a port");
        // Fills the queue: then the kernel answers no other attempt.
        std::vector<Descriptor> queue;
        for (int i = 0; i < 3; ++i) {
            queue.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
            // NOLINTNEXTLINE(bugprone-unused-return-value): it may never complete
            ::connect(queue.back().fd(), generic, size);
        }
        finish(world.loop, [](World& w, std::uint16_t port) -> Task<> {
            CHECK_THROWS_AS(co_await with_timeout(w.loop, coroutines::connect(w.loop, port), 20ms),
                            TimedOut);
            CHECK(w.loop.waiting() == 0);
            CHECK(w.milliseconds() == 20);
        }(world, ntohs(address.sin_port)));
    }
}
