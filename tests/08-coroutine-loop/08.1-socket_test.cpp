// Exercise 08.1: edge-triggered, registered once, and tried before the coroutine waits.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "chapters/08-coroutine-loop/socket.hpp"
#include "tests/08-coroutine-loop/sockets.hpp"
#include "tests/08-coroutine-loop/world.hpp"
#include "tests/support/interposed.hpp"
#include "tests/support/test.hpp"

using coroutines::EventLoop;
using coroutines::Socket;
using coroutines::Task;
using testing::ends;
using testing::make_small;
using testing::Pair;
using testing::read_once;
using testing::World;
using namespace std::chrono_literals;

namespace {

using Log = std::vector<std::string>;

/// The kernel, as the socket `ours` sees it. After many attempts that return EAGAIN it returns EIO:
/// otherwise the code under test would never return.
struct Kernel : support::Interposed {
    explicit Kernel(int ours) {
        read = [this, ours](int fd, void* data, std::size_t size) {
            if (fd != ours) return real_read(fd, data, size);
            ++reads;
            return interrupted() ? -1 : patient(real_read(fd, data, size));
        };
        write = [this, ours](int fd, const void* data, std::size_t size) {
            if (fd != ours) return real_write(fd, data, size);
            ++writes;
            return interrupted() ? -1 : patient(real_write(fd, data, size));
        };
    }

    bool interrupting = false;  // every second call fails with EINTR
    int reads = 0;
    int writes = 0;
    bool spinning = false;

private:
    [[nodiscard]] bool interrupted() const {
        errno = EINTR;
        return interrupting && (reads + writes) % 2 == 1;
    }

    ssize_t patient(ssize_t count) {
        in_vain_ = count < 0 && errno == EAGAIN ? in_vain_ + 1 : 0;
        if (in_vain_ < 1000) return count;
        spinning = true;
        errno = EIO;
        return -1;
    }

    int in_vain_ = 0;
};

/// A socket on a loop in virtual time, and the other end of its connection.
struct Connection {
    Connection() { make_small(socket.fd()); }

    World world;
    Pair pair;
    Kernel kernel{pair.ours.fd()};
    Socket socket{world.loop, std::move(pair.ours)};

    /// The other end says `text` after `delay`.
    void peer_says(std::string text, coroutines::Duration delay) {
        world.loop.spawn("peer",
                         [](Connection& c, std::string words, coroutines::Duration wait) -> Task<> {
                             co_await c.world.loop.async_sleep(wait);
                             testing::write_all(c.pair.theirs.fd(), words);
                         }(*this, std::move(text), delay));
    }

    /// Logs the results of `count` reads.
    Task<> note_reads(int count, std::size_t room = 100) {
        for (int i = 0; i < count; ++i) world.note(co_await read_once(socket, room));
    }
};

const std::string traps =
    " (docs/08-coroutine-loop.md, \"Step 5: fairness, and the traps of edge triggering\")";

}  // namespace

TEST_CASE("08.1 a read waits until bytes come") {
    Connection c;
    INFO("a coroutine reads; the other end says 'hello' after 10 ms, and 'again' after 20");
    c.peer_says("hello", 10ms);
    c.peer_says("again", 20ms);
    const bool ended = ends(c.world.loop, c.note_reads(2));
    REQUIRE_MESSAGE(!c.kernel.spinning,
                    "read(2) said EAGAIN a thousand times in a row, and was asked again. That is "
                    "chapter 02. Return false: the coroutine waits, and the kernel will tell");
    CHECK_MESSAGE(ended,
                  "an hour has passed, and it still waits. An operation that waits is noted in "
                  "two places: which coroutine it resumes, and that the socket has a reader");
    const Log expected{"10: hello", "20: again"};
    CHECK_MESSAGE(c.world.log == expected,
                  "it should have read each when it came. EAGAIN is no "
                  "error: it says 'not yet'",
                  traps);
}

TEST_CASE("08.1 bytes that did not fit into the buffer come with the next read") {
    Connection c;
    INFO("the other end says 'abcdefg' at once; a coroutine reads three bytes at a time");
    c.peer_says("abcdefg", 10ms);
    const bool ended = ends(c.world.loop, c.note_reads(3, 3));
    CHECK_MESSAGE(ended,
                  "the last read waits for ever. There was one edge for all seven bytes, "
                  "and no other will come: a read that has filled its buffer may have left "
                  "something",
                  traps);
    CHECK(c.world.log == Log{"10: abc", "10: def", "10: g"});
}

TEST_CASE("08.1 the last bytes and the end of input come together") {
    Connection c;
    INFO("a coroutine waits for bytes; the other end says 'bye' and closes, both at once");
    c.world.loop.spawn("peer", [](Connection& to) -> Task<> {
        co_await to.world.loop.async_sleep(10ms);
        testing::write_all(to.pair.theirs.fd(), "bye");
        to.pair.theirs.close();
    }(c));
    const bool ended = ends(c.world.loop, c.note_reads(2));
    CHECK_MESSAGE(ended,
                  "the second read waits for ever: its event has been used up. The first "
                  "one was short, but EPOLLRDHUP had said that the end was there too",
                  traps);
    CHECK(c.world.log == Log{"10: bye", "10: end"});
}

TEST_CASE("08.1 every read stops at the urgent mark, although more bytes follow it") {
    EventLoop loop;
    Pair pair = testing::tcp_pair();
    const Kernel kernel(pair.ours.fd());
    Socket socket(loop, std::move(pair.ours));
    INFO("a coroutine waits; the other end sends 'a', then '!' with MSG_OOB, then 'b'");
    loop.spawn("peer", [](EventLoop& l, int fd) -> Task<> {
        co_await l.async_sleep(0ms);
        ::send(fd, "a", 1, 0);
        ::send(fd, "!", 1, MSG_OOB);
        ::send(fd, "b", 1, 0);
    }(loop, pair.theirs.fd()));
    std::string came;
    const bool ended = ends(
        loop,
        [](Socket& s, std::string& all) -> Task<> {
            while (all.size() < 3) all += co_await read_once(s);
        }(socket, came),
        support::deadline() / 4);
    CHECK_MESSAGE(ended, "it waits forever after '", came,
                  "' has come. A read stops at the mark, so it ",
                  "is short although there is more. EPOLLPRI says so", traps);
    CHECK(came == "a!b");
}

TEST_CASE("08.1 bytes that come while no coroutine reads are not forgotten") {
    Connection c;
    INFO("a coroutine reads 'one', and is busy for 20 ms; meanwhile 'two' comes. Then it reads");
    c.peer_says("one", 10ms);
    c.peer_says("two", 20ms);
    const bool ended = ends(c.world.loop, [](Connection& on) -> Task<> {
        on.world.note(co_await read_once(on.socket));
        co_await on.world.loop.async_sleep(20ms);
        on.world.note(co_await read_once(on.socket));
    }(c));
    CHECK_MESSAGE(ended,
                  "the second read waits forever: the edge for 'two' came when no "
                  "coroutine waited, and it comes only once. Where is it remembered?",
                  traps);
    CHECK(c.world.log == Log{"10: one", "30: two"});
}

TEST_CASE("08.1 a signal interrupts a read and a write, and no byte is lost") {
    Connection c;
    INFO("the other end said 'hello'; a coroutine reads it and writes it back");
    INFO("every second read(2) and write(2) failed with EINTR");
    c.kernel.interrupting = true;
    testing::write_all(c.pair.theirs.fd(), "hello");
    const bool ended = ends(c.world.loop, [](Connection& on) -> Task<> {
        const std::string text = co_await read_once(on.socket);
        on.world.note(text);
        try {
            co_await on.socket.write_all(text);
        } catch (const std::system_error& error) {
            on.world.note(error.what());
        }
    }(c));
    CHECK_MESSAGE(ended, "an hour has passed, and a coroutine still waits");
    const Log expected{"0: hello"};
    CHECK_MESSAGE(c.world.log == expected, "EINTR means that a signal came first: call again");
    CHECK(testing::read_all(c.pair.theirs.fd()) == "hello");
}

TEST_CASE("08.1 a write continues after the part that the kernel has taken") {
    Connection c;
    std::string data(30'000, '#');
    for (std::size_t i = 0; i < data.size(); i += 10) data[i] = static_cast<char>('a' + i % 23);
    INFO("a coroutine writes 30,000 bytes, for which there is no room; the other end reads 1,000 ",
         "bytes each 1 ms, so write(2) takes a part each time");
    std::string heard;
    c.world.loop.spawn("peer", [](Connection& on, std::string& all) -> Task<> {
        std::array<char, 1000> block{};
        while (all.size() < 30'000) {
            co_await on.world.loop.async_sleep(1ms);
            const ssize_t count = ::recv(on.pair.theirs.fd(), block.data(), block.size(), 0);
            if (count > 0) all.append(block.data(), static_cast<std::size_t>(count));
        }
    }(c, heard));
    const bool ended = ends(
        c.world.loop,
        [](Connection& on, const std::string& all) -> Task<> {
            co_await on.socket.write_all(all);
            co_await on.world.loop.async_sleep(10s);
        }(c, data),
        20s);
    CHECK_MESSAGE(ended, "20 seconds have passed, and it still waits; ", heard.size(),
                  " bytes have come. Where there is room again, the event says EPOLLOUT");
    const auto differs = std::ranges::mismatch(heard, data).in1 - heard.begin();
    CHECK_MESSAGE(heard == data, heard.size(), " bytes came, and they are those that were written ",
                  "up to number ", differs,
                  ". write(2) returns how many bytes it took: the next one sends the rest");
}

TEST_CASE("08.1 what need not wait does not suspend the coroutine") {
    Connection c;
    testing::write_all(c.pair.theirs.fd(), "ab");
    INFO("'ab' has come; a coroutine reads both bytes and writes one, while another one is ready");
    c.world.loop.spawn("first", [](Connection& on) -> Task<> {
        std::array<char, 1> byte{};
        co_await on.socket.read(byte);
        on.world.note("a is read");
        co_await on.socket.read(byte);
        on.world.note("b is read");
        co_await on.socket.write_all("c");
        on.world.note("c is written");
    }(c));
    c.world.loop.spawn("second", [](Connection& on) -> Task<> {
        on.world.note("the other one runs");
        co_return;
    }(c));
    c.world.loop.run();
    const Log expected{"0: a is read", "0: b is read", "0: c is written", "0: the other one runs"};
    CHECK_MESSAGE(c.world.log == expected,
                  "await_ready() tries at once: an operation that is done by then does not return "
                  "to the loop");
}

TEST_CASE("08.1 room that comes while no coroutine writes is not forgotten") {
    Connection c;
    const std::string data(300'000, '#');
    INFO(
        "a coroutine writes until there is no room, and is cancelled; the other end reads "
        "everything; then another coroutine writes");
    auto first = c.world.loop.spawn("first", [](Connection& on, const std::string& all) -> Task<> {
        co_await on.socket.write_all(all);
    }(c, data));
    const bool ended =
        ends(c.world.loop, [](Connection& on, coroutines::TaskHandle& other) -> Task<> {
            co_await on.world.loop.async_sleep(1ms);
            other.cancel();
            co_await on.world.loop.async_sleep(1ms);
            while (!testing::read_all(on.pair.theirs.fd()).empty()) {
                co_await on.world.loop.async_sleep(1ms);
            }
            co_await on.socket.write_all("hello");
            on.world.note("written");
        }(c, first));
    CHECK_MESSAGE(
        ended,
        "the second one waits forever: the edge that said EPOLLOUT came when no coroutine "
        "waited for it, and it comes only once. Where is it remembered?",
        traps);
    CHECK(testing::read_all(c.pair.theirs.fd()) == "hello");
}

TEST_CASE("08.1 after urgent data a request costs one read again") {
    EventLoop loop;
    Pair pair = testing::tcp_pair();
    const Kernel kernel(pair.ours.fd());
    Socket socket(loop, std::move(pair.ours));
    INFO("the other end sends '!' with MSG_OOB, and then 50 lines, each when the last one is read");
    int reads = 0;
    const bool ended = ends(
        loop,
        [](EventLoop& l, Socket& s, int fd, const Kernel& k, int& count) -> Task<> {
            ::send(fd, "!", 1, MSG_OOB);
            // The event comes before the read: epoll says EPOLLPRI.
            co_await l.async_sleep(2ms);
            co_await read_once(s);
            // What the mark has left is read to the end: the next read has to wait.
            const auto send_later = [](EventLoop& in, int to) -> Task<> {
                for (int i = 0; i < 51; ++i) {
                    co_await in.async_sleep(2ms);
                    testing::write_all(to, "hello\n");
                }
            };
            auto sending = l.spawn("peer", send_later(l, fd));
            co_await read_once(s);
            count = k.reads;
            for (int i = 0; i < 50; ++i) co_await read_once(s);
            count = k.reads - count;
        }(loop, socket, pair.theirs.fd(), kernel, reads),
        support::deadline() / 4);
    REQUIRE_MESSAGE(ended, "it waits forever for a line");
    CHECK_MESSAGE(reads <= 60, "50 lines took ", reads,
                  " reads. EAGAIN says that all is read: also what EPOLLPRI had announced", traps);
}

TEST_CASE("08.1 one coroutine waits for room while another waits for bytes") {
    Connection c;
    std::string data(100'000, '#');
    for (std::size_t i = 0; i < data.size(); i += 100) data[i] = static_cast<char>('a' + i % 23);
    INFO("one coroutine reads; another one writes 100,000 bytes, for which there is no room");
    INFO("the other end says 'hello' after 10 ms, and begins to read after 20");
    c.peer_says("hello", 10ms);
    std::string heard;
    c.world.loop.spawn("reader", c.note_reads(1));
    c.world.loop.spawn("peer", [](Connection& on, std::string& all) -> Task<> {
        co_await on.world.loop.async_sleep(20ms);
        on.world.note("now the other end reads");
        for (int turn = 0; turn < 1000; ++turn) {
            all += testing::read_all(on.pair.theirs.fd());
            co_await on.world.loop.async_sleep(0ms);
        }
    }(c, heard));
    const bool ended = ends(c.world.loop, [](Connection& on, const std::string& all) -> Task<> {
        co_await on.socket.write_all(all);
        on.world.note("all is written");
    }(c, data));
    CHECK_MESSAGE(!c.kernel.spinning,
                  "write(2) said EAGAIN a thousand times in a row, and was "
                  "asked again. Return false: an event will say when there is room");
    REQUIRE_MESSAGE(ended, "an hour has passed, and the writer still waits; ", heard.size(),
                    " bytes have come. Where there is room again, the event says EPOLLOUT");
    CHECK(c.world.log == Log{"10: hello", "20: now the other end reads", "20: all is written"});
    heard += testing::read_all(c.pair.theirs.fd());
    const bool same = heard == data;
    CHECK_MESSAGE(same, "the bytes that came are not those that were written, in order");
}

TEST_CASE("08.1 a connection that breaks throws in the coroutine that waits") {
    Connection c;
    INFO("a coroutine writes more than there is room for; after 10 ms the other end closes");
    c.world.loop.spawn("peer", [](Connection& on) -> Task<> {
        co_await on.world.loop.async_sleep(10ms);
        on.pair.theirs.close();
    }(c));
    std::string why;
    const bool ended = ends(c.world.loop, [](Connection& on, std::string& said) -> Task<> {
        const std::string data(300'000, '#');
        try {
            co_await on.socket.write_all(data);
        } catch (const std::system_error& error) {
            said = error.what();
        }
    }(c, why));
    CHECK_MESSAGE(ended,
                  "an hour has passed, and it still waits for room, which the closed end will "
                  "never make. An error completes the operation (fail(), and true)");
    CHECK_MESSAGE(
        (why == "cannot write: Broken pipe" || why == "cannot write: Connection reset by peer"),
        "write_all() should have thrown, for EPIPE or ECONNRESET; it said ", support::quoted(why));
}

TEST_CASE("08.1 a second reader gets an error, and the first one continues") {
    Connection c;
    INFO("two coroutines read from one socket; after 10 ms the other end says 'hello'");
    c.peer_says("hello", 10ms);
    c.world.loop.spawn("first", c.note_reads(1));
    const bool ended = ends(c.world.loop, [](Connection& on) -> Task<> {
        co_await on.note_reads(1);
        co_await on.world.loop.async_sleep(20ms);
    }(c));
    CHECK_MESSAGE(ended, "an hour has passed, and the second reader waits, too");
    const Log expected{"0: two coroutines wait for the same direction of a socket", "10: hello"};
    CHECK_MESSAGE(c.world.log == expected,
                  "await_ready() refuses the second reader if the first has stored itself in "
                  "the socket's slot for its direction");
}

TEST_CASE("08.1 a socket that is always ready does not starve the other coroutines") {
    Connection c;
    testing::write_all(c.pair.theirs.fd(), std::string(2000, '#'));
    int reads = 0;
    int turns = 0;
    c.world.loop.spawn("other", [](EventLoop& loop, int& count) -> Task<> {
        while (count < 5000) {
            co_await loop.async_sleep(0ms);
            ++count;
        }
    }(c.world.loop, turns));
    INFO("2,000 bytes have come; a coroutine reads one at a time, and never has to wait");
    const bool ended = ends(c.world.loop, [](Socket& s, int& count) -> Task<> {
        std::array<char, 1> byte{};
        for (; count < 2000; ++count) co_await s.read(byte);
    }(c.socket, reads));
    REQUIRE_MESSAGE(ended, "after ", reads,
                    " reads it waits forever, although bytes are there. Its "
                    "budget was spent, but the socket is still ready, so no event will come: "
                    "defer()");
    CHECK_MESSAGE(turns >= 20, "meanwhile another coroutine, which was ready all the time, had ",
                  turns, " turns. has_budget() says when other coroutines must run", traps);
}

TEST_CASE("08.1 a request costs one read and one write") {
    Connection c;
    c.world.loop.spawn("server", [](Socket& s) -> Task<> {
        std::array<char, 100> buffer{};
        while (const std::size_t count = co_await s.read(buffer)) {
            co_await s.write_all(std::string_view(buffer.data(), count));
        }
    }(c.socket));
    INFO("a coroutine echoes; the other end said a line 100 times, and waited for it each time");
    std::string heard;
    int reads = 0;
    int writes = 0;
    const bool ended =
        ends(c.world.loop, [](Connection& on, std::string& all, int& r, int& w) -> Task<> {
            co_await on.world.loop.async_sleep(
                1ms);  // by now, the server has found out that it must wait
            CHECK_MESSAGE(on.kernel.reads <= 1, "nothing has come yet, and read(2) was called ",
                          on.kernel.reads, " times: after EAGAIN, wait for the event");
            r = on.kernel.reads;
            w = on.kernel.writes;
            for (int i = 0; i < 100; ++i) {
                testing::write_all(on.pair.theirs.fd(), "hello\n");
                co_await on.world.loop.async_sleep(1ms);
                all += testing::read_all(on.pair.theirs.fd());
            }
            r = on.kernel.reads - r;
            w = on.kernel.writes - w;
        }(c, heard, reads, writes));
    REQUIRE(ended);
    CHECK_MESSAGE(heard.size() == 600, "the server answered ", heard.size() / 6, " times");
    CHECK_MESSAGE(reads <= 100, "read(2) was called ", reads, " times. After a read that did not ",
                  "fill its buffer the socket is empty, and another read would only return EAGAIN",
                  traps);
    CHECK_MESSAGE(writes <= 100, "write(2) was called ", writes, " times");
}
