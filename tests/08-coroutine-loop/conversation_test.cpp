// The server's conversation: the same coroutine on a clock that jumps and on the real one.
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chapters/08-coroutine-loop/conversation.hpp"
#include "common/service_options.hpp"
#include "tests/05-callback-loop/pair.hpp"
#include "tests/08-coroutine-loop/world.hpp"

using common::ServiceOptions;
using coroutines::Duration;
using coroutines::EventLoop;
using coroutines::Socket;
using coroutines::Task;
using coroutines::TimePoint;
using testing::Pair;
using testing::World;
using namespace std::chrono_literals;

namespace {

using Log = std::vector<std::string>;

/// What a client says, and how long it waits before it does.
struct Line {
    Duration pause;
    std::string_view text;
};

/// A reply, and when it came.
struct Heard {
    Duration time;
    std::string text;
};

/// Sends its lines, each when the last one has been answered.
Task<> talk(EventLoop& loop, Socket socket, std::vector<Line> lines, std::vector<Heard>& heard) {
    const TimePoint began = loop.now();
    std::array<char, 1000> buffer;
    for (std::size_t i = 0;; ++i) {
        if (i < lines.size()) {
            co_await loop.async_sleep(lines[i].pause);
            co_await socket.write_all(lines[i].text);
        }
        const std::size_t count = co_await socket.read(buffer);
        heard.push_back({loop.now() - began, std::string(buffer.data(), count)});
        if (count == 0) co_return;
    }
}

/// One client that talks to one server task, on one loop, to the end.
std::vector<Heard> converse_on(callbacks::Clock& clock, const ServiceOptions& options,
                               std::vector<Line> lines) {
    EventLoop loop(clock);
    Pair pair;
    std::vector<Heard> heard;
    loop.spawn("server", converse(loop, options, Socket(loop, std::move(pair.ours))));
    loop.spawn("client", talk(loop, Socket(loop, std::move(pair.theirs)), std::move(lines), heard));
    loop.run();
    CHECK(loop.waiting() == 0);
    CHECK(loop.sleeping() == 0);
    return heard;
}

Log in_units(const std::vector<Heard>& heard, Duration unit) {
    Log lines;
    for (const Heard& one : heard)
        lines.push_back(std::to_string(one.time / unit) + " " + one.text);
    return lines;
}

}  // namespace

TEST_CASE("an idle timeout and a reply delay: the same events in virtual and in real time") {
    const auto talk_on = [](callbacks::Clock& clock, Duration unit) {
        return converse_on(clock, {.idle_timeout = 5 * unit, .reply_delay = 2 * unit},
                           {{0 * unit, "a"}, {4 * unit, "b"}});
    };
    callbacks::SimulatedClock jumps;
    const std::vector<Heard> in_virtual_time = talk_on(jumps, 1h);
    // "a" takes 2, then 4 of silence, "b" takes 2, then 5 of silence, which are too many.
    CHECK(in_units(in_virtual_time, 1h) == Log{"2 a", "8 b", "13 "});

    const std::vector<Heard> in_real_time = talk_on(callbacks::steady_clock(), 10ms);
    REQUIRE(in_real_time.size() == in_virtual_time.size());
    for (std::size_t i = 0; i < in_real_time.size(); ++i) {
        CHECK(in_real_time[i].text == in_virtual_time[i].text);
        CHECK_MESSAGE(in_real_time[i].time / 10ms >= in_virtual_time[i].time / 1h,
                      "it came too early");
    }
}

TEST_CASE("a reply delay longer than the idle timeout does not make the client idle") {
    callbacks::SimulatedClock clock;
    const auto heard =
        converse_on(clock, {.idle_timeout = 1s, .reply_delay = 10s}, {{0s, "a"}, {500ms, "b"}});
    CHECK(in_units(heard, 1ms) == Log{"10000 a", "20500 b", "21500 "});
}

TEST_CASE("a client that is silent from the beginning") {
    callbacks::SimulatedClock clock;
    CHECK(in_units(converse_on(clock, {.idle_timeout = 3s, .reply_delay = 0s}, {}), 1ms) ==
          Log{"3000 "});
}

TEST_CASE("a client that moves bytes now and then is not idle, however slowly it reads") {
    World world;
    Pair pair;
    const int small = 4096;
    ::setsockopt(pair.ours.fd(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    const ServiceOptions options{.idle_timeout = 2s, .reply_delay = 0s};
    world.loop.spawn("server",
                     converse(world.loop, options, Socket(world.loop, std::move(pair.ours))));
    world.loop.spawn("client", [](World& w, int fd) -> Task<> {
        testing::write_all(fd, std::string(40'000, 'x'));
        for (std::size_t count = 0; count < 40'000;) {
            co_await w.loop.async_sleep(1500ms);
            std::array<char, 10'000> buffer;  // all that is under way
            const ssize_t got = ::read(fd, buffer.data(), buffer.size());
            if (got <= 0) {
                w.note("nothing came after " + std::to_string(count));
                co_return;
            }
            count += static_cast<std::size_t>(got);
        }
        w.note("all came");
        co_await w.loop.until_readable(fd);
        CHECK(testing::at_end(fd));
    }(world, pair.theirs.fd()));
    world.loop.run();
    REQUIRE(world.log.size() == 1);
    CHECK(world.log[0].ends_with(": all came"));
    CHECK(world.is_quiet());
}

TEST_CASE("an idle timeout wakes no task before it can be due") {
    testing::Counting<callbacks::SimulatedClock> clock;
    const auto heard =
        converse_on(clock, {.idle_timeout = 1h, .reply_delay = 0s}, {{0s, "a"}, {30min, "b"}});
    CHECK(in_units(heard, 1min) == Log{"0 a", "30 b", "90 "});
    CHECK_MESSAGE(clock.waits < 30, "in an hour and a half the loop woke ", clock.waits, " times");
}

TEST_CASE("a client that breaks the connection ends only its own task, without a word") {
    World world;
    Pair pair;
    const ServiceOptions options;
    world.loop.spawn("server",
                     converse(world.loop, options, Socket(world.loop, std::move(pair.ours))));
    world.loop.spawn("client", [](World& w, common::Descriptor client) -> Task<> {
        // Closed with unread bytes: a reset
        testing::write_all(client.fd(), "hello");
        co_await w.loop.async_sleep(1ms);
        co_return;
    }(world, std::move(pair.theirs)));
    world.loop.run();
    CHECK(world.errors.empty());
    CHECK(world.is_quiet());
}

TEST_CASE("two clients, interleaved only by the clock") {
    World world;
    const ServiceOptions options{.idle_timeout = 5s, .reply_delay = 2s};
    std::vector<Heard> a;
    std::vector<Heard> b;
    for (const auto& [lines, heard] : {std::pair(std::vector<Line>{{1s, "a"}}, &a),
                                       std::pair(std::vector<Line>{{2s, "b"}, {3s, "B"}}, &b)}) {
        Pair pair;
        world.loop.spawn("server",
                         converse(world.loop, options, Socket(world.loop, std::move(pair.ours))));
        world.loop.spawn(
            "client", talk(world.loop, Socket(world.loop, std::move(pair.theirs)), lines, *heard));
    }
    world.loop.run();
    CHECK(in_units(a, 1s) == Log{"3 a", "8 "});
    CHECK(in_units(b, 1s) == Log{"4 b", "9 B", "14 "});
}
