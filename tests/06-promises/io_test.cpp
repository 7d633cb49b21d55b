// Promises of I/O, on a simulated clock: docs/06-promises.md, section "I/O".
#include <doctest/doctest.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "chapters/05-callback-loop/clock.hpp"
#include "chapters/06-promises/combinators.hpp"
#include "chapters/06-promises/io.hpp"
#include "chapters/06-promises/promise.hpp"
#include "common/descriptor.hpp"
#include "common/listener.hpp"
#include "tests/05-callback-loop/pair.hpp"
#include "tests/06-promises/allocations.hpp"
#include "tests/06-promises/world.hpp"
#include "tests/support/test.hpp"

namespace {

/// While this is not 0, epoll_ctl(2) fails with it, except when it removes a descriptor.
int epoll_ctl_error = 0;

}  // namespace

/// Stands in front of the C library's, for all of this test program.
extern "C" int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
    if (epoll_ctl_error != 0 && operation != EPOLL_CTL_DEL) {
        errno = epoll_ctl_error;
        return -1;
    }
    return static_cast<int>(::syscall(SYS_epoll_ctl, epoll, operation, fd, event));
}

namespace {

using namespace std::chrono_literals;
using promises::Acceptor;
using promises::Promise;
using promises::resolved;
using promises::sleep;
using promises::Socket;
using promises::Status;
using promises::Timer;
using testing::Pair;
using testing::World;

/// The socket under test, and the other end as a descriptor.
struct Conversation : World {
    Pair pair;
    Socket socket{io, std::move(pair.ours)};
    std::array<char, 100> buffer{};

    [[nodiscard]] int theirs() const { return pair.theirs.fd(); }
    [[nodiscard]] std::string text(std::size_t count) const { return {buffer.data(), count}; }

    /// Echoes to the end of input, as the server does.
    Promise<void> echo() {
        return socket.read_some(buffer).then([this](std::size_t count) {
            if (count == 0) return resolved(io.jobs);
            return socket.write_all(std::span(buffer).first(count)).then([this] { return echo(); });
        });
    }
};

}  // namespace

TEST_CASE("sleep: in the order of their deadlines, and not before") {
    World world;
    std::vector<std::string> log;
    const auto at = [&](const char* name) {
        return [&, name] { log.push_back(name + std::to_string(world.time().count())); };
    };
    sleep(world.io, 20ms).then(at("b"));
    sleep(world.io, 10ms).then(at("a")).then([&] { return sleep(world.io, 30ms); }).then(at("c"));
    world.io.loop.run();
    CHECK(log == std::vector<std::string>{"a10", "b20", "c40"});
    CHECK(world.io.waiting == 0);
}

TEST_CASE("a chain that has nothing to wait for runs to its end within one callback") {
    World world;
    std::vector<std::string> log;
    world.io.loop.call_soon(world.io.with_jobs([&] {
        Promise<void> last = resolved(world.io.jobs);
        for (int i = 0; i < 100; ++i) last = last.then([] {});
        last.then([&] { log.emplace_back("the end of the chain"); });
        log.emplace_back("the callback");
    }));
    world.io.loop.call_soon([&] { log.emplace_back("the next callback of the same turn"); });
    world.io.loop.run();
    CHECK(log == std::vector<std::string>{"the callback", "the end of the chain",
                                          "the next callback of the same turn"});
}

TEST_CASE("a callback that throws leaves its jobs to the next turn") {
    World world;
    bool ran = false;
    world.io.loop.call_soon(world.io.with_jobs([&] {
        resolved(world.io.jobs).then([&] { ran = true; });
        throw std::runtime_error("as arranged");
    }));
    CHECK_THROWS_WITH(world.io.loop.run(), "as arranged");
    CHECK_FALSE(ran);
    world.io.loop.run();
    CHECK(ran);
}

TEST_CASE("the loop runs jobs that were made outside of it, and then ends") {
    World world;
    bool ran = false;
    resolved(world.io.jobs).then([&] { ran = true; });
    world.io.loop.run();
    CHECK(ran);
}

TEST_CASE("an unhandled error is reported by the loop, even if nothing else happens") {
    World world;
    std::string reported;
    world.io.jobs.on_unhandled(
        [&](const std::exception_ptr& error) { reported = promises::message(error); });
    promises::rejected<void>(world.io.jobs, std::runtime_error("lost"));
    world.io.loop.run();
    CHECK(reported == "lost");
}

TEST_CASE("jobs that never end starve neither timers nor I/O") {
    Conversation our;
    bool stopped = false;
    std::function<Promise<void>()> endless = [&]() -> Promise<void> {
        if (stopped) return resolved(our.io.jobs);
        return resolved(our.io.jobs).then([&] { return endless(); });
    };
    endless();
    support::waiting_for("a line and a timer, beside jobs that never end");
    int lines = 0;
    bool fired = false;
    our.io.loop.call_later(0ms, [&] { fired = true; });
    testing::write_all(our.theirs(), "one\n");
    our.socket.read_some(our.buffer)
        .then([&](std::size_t) {
            ++lines;
            testing::write_all(our.theirs(), "two\n");
            return our.socket.read_some(our.buffer);
        })
        .then([&](std::size_t) {
            ++lines;
            stopped = true;
            our.socket.close();
        });
    our.io.loop.run();
    CHECK(lines == 2);
    CHECK(fired);
}

TEST_CASE("read_some: bytes as soon as there are any, then 0 at the end of input") {
    Conversation our;
    std::vector<std::string> heard;
    const auto hear = [&](std::size_t count) { heard.push_back(our.text(count)); };
    our.socket.read_some(our.buffer).then(hear);
    CHECK(our.io.waiting == 1);
    testing::write_all(our.theirs(), "hello");
    our.io.loop.call_later(1ms, [&] { our.io.loop.stop(); });
    our.io.loop.run();
    CHECK(heard == std::vector<std::string>{"hello"});
    our.socket.read_some(our.buffer).then(hear).then([&] { our.socket.close(); });
    our.pair.theirs.close();
    our.io.loop.run();
    CHECK(heard == std::vector<std::string>{"hello", ""});
    CHECK(our.io.waiting == 0);
}

TEST_CASE("a broken connection rejects what is under way, with the reason") {
    Conversation our;
    std::string why;
    const auto on_error = [&](const std::exception_ptr& error) {
        why = promises::message(error);
        our.socket.close();
    };
    SUBCASE("reading") {
        testing::write_all(our.pair.theirs.fd(), "x");
        our.socket.write_all(std::span<const char>("unread", 6));
        our.pair.theirs.close();  // with unread input: that is a reset
        const auto read_on = [&](std::size_t) { return our.socket.read_some(our.buffer); };
        our.socket.read_some(our.buffer).then(read_on).then([](std::size_t) {}, on_error);
        our.io.loop.run();
        CHECK(why == "cannot read from a client: Connection reset by peer");
    }
    SUBCASE("writing") {
        our.pair.theirs.close();
        std::signal(SIGPIPE, SIG_IGN);
        our.socket.write_all(std::span<const char>("nobody", 6)).then([] {}, on_error);
        our.io.loop.run();
        CHECK(why == "cannot write to a client: Broken pipe");
    }
}

TEST_CASE("write_all: all of it, however little is taken at a time") {
    Conversation our;
    const std::string much(3'000'000, '#');
    const Promise<void> written = our.socket.write_all(much);
    CHECK_MESSAGE(written.status() == Status::pending, "the peer has not read yet");
    std::string heard;
    std::function<void()> read_on = [&] {
        heard += testing::read_all(our.theirs());
        if (heard.size() < much.size()) return our.io.loop.call_soon(read_on);
        our.socket.close();
    };
    read_on();
    our.io.loop.run();
    CHECK(written.status() == Status::fulfilled);
    CHECK(heard == much);
}

TEST_CASE("after a write that had to wait, room in the buffer does not wake the loop") {
    Conversation our;
    const std::string much(3'000'000, '#');
    bool written = false;
    our.socket.write_all(much).then([&] { written = true; });
    std::size_t heard = 0;
    std::function<void()> read_on = [&] {
        heard += testing::read_all(our.theirs()).size();
        if (heard < much.size()) return our.io.loop.call_soon(read_on);
        our.io.loop.call_later(20ms, [&] { our.io.loop.stop(); });
    };
    read_on();
    support::waiting_for("the clock to jump, which it does only when no descriptor is ready");
    our.io.loop.run();
    CHECK(written);
    CHECK(our.time() == 20ms);
}

TEST_CASE("bytes that come while no read is under way are kept, and do not wake the loop again") {
    Conversation our;
    testing::write_all(our.theirs(), "early");
    int turns = 0;
    std::function<void()> turn = [&] {
        if (++turns < 10) our.io.loop.call_later(1ms, turn);
    };
    turn();
    our.io.loop.call_later(20ms, [&] { our.io.loop.stop(); });
    our.io.loop.run();
    CHECK(our.time() == 20ms);  // the clock jumps only when no descriptor is ready
    std::string heard;
    our.socket.read_some(our.buffer).then([&](std::size_t count) {
        heard = our.text(count);
        our.socket.close();
    });
    our.io.loop.run();
    CHECK(heard == "early");
}

TEST_CASE("one read and one write at a time") {
    Conversation our;
    const auto first = our.socket.read_some(our.buffer);
    CHECK_THROWS_AS(our.socket.read_some(our.buffer), std::logic_error);
    const std::string much(3'000'000, '#');
    const auto writing = our.socket.write_all(much);
    CHECK_THROWS_AS(our.socket.write_all(much), std::logic_error);
}

TEST_CASE("close() stops the operations: handlers are destroyed, and the loop ends") {
    Conversation our;
    const auto token = std::make_shared<int>(0);
    const Promise<void> reading = our.socket.read_some(our.buffer).then([token](std::size_t) {});
    our.io.loop.call_later(1ms, [&] { our.socket.close(); });
    our.io.loop.run();
    CHECK(token.use_count() == 1);
    CHECK(reading.status() == Status::pending);
    CHECK(our.io.waiting == 0);
}

TEST_CASE("after close() every operation is rejected at once") {
    Conversation world;
    world.socket.close();
    int rejected = 0;
    const auto note = [&](const std::exception_ptr& error) {
        CHECK(promises::message(error).find("Bad file descriptor") != std::string::npos);
        ++rejected;
    };
    world.socket.read_some(world.buffer).then([](std::size_t) {}).catch_error(note);
    world.socket.write_all(std::string_view("too late")).catch_error(note);
    world.io.loop.run();
    CHECK(rejected == 2);
    CHECK(world.io.waiting == 0);
}

TEST_CASE("a socket may be closed and destroyed by its own handler") {
    World world;
    Pair pair;
    std::array<char, 10> buffer{};
    auto socket = std::make_unique<Socket>(world.io, std::move(pair.ours));
    socket->read_some(buffer).then([&](std::size_t) { socket.reset(); });
    testing::write_all(pair.theirs.fd(), "go");
    world.io.loop.run();
    CHECK(socket == nullptr);
    CHECK(testing::at_end(pair.theirs.fd()));
}

TEST_CASE("a socket may be closed while its handlers own the owner of the socket") {
    struct Owner {
        World& world;
        Pair pair;
        Socket socket{world.io, std::move(pair.ours)};
        std::array<char, 10> buffer{};
        std::string much = std::string(3'000'000, '#');
    };
    World world;
    auto owner = std::make_shared<Owner>(world);
    const std::weak_ptr<Owner> watched = owner;
    owner->socket.read_some(owner->buffer).then([owner](std::size_t) {});
    owner->socket.write_all(owner->much).then([owner] {});
    Socket& socket = owner->socket;
    owner.reset();
    CHECK_FALSE(watched.expired());
    socket.close();
    world.io.loop.call_soon([] {});
    world.io.loop.run();
    CHECK_MESSAGE(watched.expired(), "close() drops the handlers, and they were the last owners");
    CHECK(world.io.waiting == 0);
}

TEST_CASE("a socket that is closed is no longer watched, even if its descriptor was duplicated") {
    Conversation our;
    Pair pair;
    const common::Descriptor duplicate(::dup(pair.ours.fd()));
    auto socket = std::make_unique<Socket>(our.io, std::move(pair.ours));
    socket->close();
    socket.reset();
    testing::write_all(pair.theirs.fd(), "for the duplicate");
    our.socket.close();
    our.io.loop.call_later(20ms, [] {});
    support::waiting_for("the clock to jump, which it does only when no descriptor is ready");
    our.io.loop.run();
    CHECK(our.time() == 20ms);
}

TEST_CASE("an operation that the system cannot watch is rejected, and is then over") {
    Conversation our;
    std::vector<std::string> why;
    const auto note = [&](const std::exception_ptr& error) {
        why.push_back(promises::message(error));
    };
    const std::string much(3'000'000, '#');
    // Data comes while no read is under way, so the socket stops watching.
    testing::write_all(our.theirs(), "early");
    our.io.loop.call_later(1ms, [&] { our.io.loop.stop(); });
    our.io.loop.run();

    epoll_ctl_error = ENOMEM;
    CHECK_NOTHROW(our.socket.read_some(our.buffer).then([](std::size_t) {}).catch_error(note));
    CHECK_NOTHROW(our.socket.write_all(much).catch_error(note));
    epoll_ctl_error = 0;
    CHECK_MESSAGE(our.io.waiting == 0, "an operation that was rejected is not under way");
    our.io.jobs.run();
    REQUIRE_MESSAGE(why.size() == 2, "errors take one way: they reject the promise");
    for (const std::string& text : why) CHECK(text.find("Cannot allocate memory") < text.size());

    std::string heard;
    our.socket.read_some(our.buffer).then([&](std::size_t count) {
        heard = our.text(count);
        our.socket.close();
    });
    our.io.loop.run();
    CHECK_MESSAGE(heard == "early", "the next read works again");
}

TEST_CASE("a sleep of the longest time there is never ends") {
    World world;
    bool woken = false;
    sleep(world.io, promises::Duration::max()).then([&] { woken = true; });
    Timer timer(world.io);
    timer.sleep_until(promises::TimePoint::max()).then([&] { woken = true; });
    sleep(world.io, 1h).then([&] { world.io.loop.stop(); });
    world.io.loop.run();
    CHECK_FALSE(woken);
    CHECK(world.time() == 1h);
    CHECK(world.io.waiting == 2);
}

TEST_CASE("accept: one client after another, and none is lost in between") {
    World world;
    common::Listener listener(0, common::Listener::Mode::non_blocking);
    std::optional<Acceptor> acceptor(std::in_place, world.io, listener);
    std::vector<common::Descriptor> clients;
    for (int i = 0; i < 3; ++i) {
        clients.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(listener.port());
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(::connect(clients.back().fd(), reinterpret_cast<sockaddr*>(&address),
                          sizeof address) == 0);
    }
    int accepted = 0;
    const auto count = [&](const common::Descriptor& client) { accepted += client ? 1 : 0; };
    acceptor->accept()
        .then(count)
        .then([&] {
            // No accept() is under way for a while; the clients wait.
            return sleep(world.io, 10ms).then([&] { return acceptor->accept(); }).then(count);
        })
        .then([&] { return acceptor->accept(); })
        .then(count)
        .then([&] { acceptor.reset(); });
    world.io.loop.run();
    CHECK(accepted == 3);
    CHECK(world.time() == 10ms);
}

TEST_CASE("a race does not stop the loser") {
    World world;
    callbacks::Duration won_at{};
    promises::race(world.io.jobs, std::vector{sleep(world.io, 1ms), sleep(world.io, 5000ms)})
        .then([&] {
            won_at = world.time();
            CHECK_MESSAGE(world.io.waiting == 1, "the loser still sleeps");
        });
    world.io.loop.run();
    CHECK(won_at == 1ms);
    CHECK_MESSAGE(world.time() == 5000ms, "the loop could not end before the loser woke up");
}

TEST_CASE("the owner of a Timer can stop it") {
    World world;
    Timer timer(world.io);
    bool rang = false;
    timer.sleep_until(world.clock.now() + 5000ms).then([&] { rang = true; });
    sleep(world.io, 1ms).then([&] { timer.stop(); });
    world.io.loop.run();
    CHECK_FALSE(rang);
    CHECK(world.time() == 1ms);
    timer.sleep_until(world.clock.now() + 2ms).then([&] { rang = true; });
    world.io.loop.run();
    CHECK_MESSAGE(rang, "it can be set again");
}

TEST_CASE("a conversation as a chain: each line costs a few blocks, and all are freed") {
    Conversation our;
    const Promise<void> end = our.echo();
    long before = 0;
    long alive = 0;
    constexpr int lines = 1000;
    int line = 0;
    std::array<char, 10> heard{};
    std::function<void()> next = [&] {
        if (line > 0 && ::read(our.theirs(), heard.data(), heard.size()) != 6) {
            return our.io.loop.call_soon(next);
        }
        if (line == 10) {
            before = allocations::made();
            alive = allocations::alive();
        }
        if (++line <= lines) {
            testing::write_all(our.theirs(), "hello\n");
            return our.io.loop.call_soon(next);
        }
        const long blocks = allocations::made() - before;
        CHECK(allocations::alive() <= alive + 2);  // a line earlier or later in its chain
        MESSAGE("blocks allocated a line: ", static_cast<double>(blocks) / (lines - 9));
        CHECK(blocks / (lines - 9) <= 12);
        our.pair.theirs.close();
    };
    next();
    end.then([&] { our.socket.close(); });
    our.io.loop.run();
    CHECK(line == lines + 1);
    CHECK(our.io.waiting == 0);
}

TEST_CASE("a loop that is destroyed in the middle of everything leaves nothing behind") {
    const auto token = std::make_shared<int>(0);
    {
        Conversation our;
        our.echo().finally([token] {});
        sleep(our.io, 1h).then([token] {});
        resolved(our.io.jobs).then([token, &our] { return sleep(our.io, 2h); });
        testing::write_all(our.theirs(), "hello");
        our.io.loop.call_soon([&] { our.io.loop.stop(); });
        our.io.loop.run();
        resolved(our.io.jobs).then([token] {});
    }
    CHECK(token.use_count() == 1);
}
