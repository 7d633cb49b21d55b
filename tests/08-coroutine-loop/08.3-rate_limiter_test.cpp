// Exercise 08.3: so many tokens a period, first come, first served.
#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "chapters/08-coroutine-loop/exercises/rate_limiter.hpp"
#include "tests/08-coroutine-loop/world.hpp"

using coroutines::Duration;
using coroutines::EventLoop;
using coroutines::RateLimiter;
using coroutines::Task;
using coroutines::TaskHandle;
using testing::ends;
using testing::World;
using namespace std::chrono_literals;

namespace {

using Log = std::vector<std::string>;

/// A limiter in virtual time, and the tasks that want a token.
struct Queue {
    Queue(int burst, Duration period) { limiter.emplace(world.loop, burst, period); }

    /// Spawns a task that asks for a token at `when`, and logs when it has one.
    TaskHandle comes(std::string name, Duration when = 0ms) {
        return world.loop.spawn(name, [](Queue& q, std::string asker, Duration delay) -> Task<> {
            if (delay > 0ms) co_await q.world.loop.async_sleep(delay);
            co_await q.limiter->take();
            q.world.note(asker);
        }(*this, name, when));
    }

    /// Runs until every task has its token, or for an hour of virtual time.
    void run() {
        const bool ended = ends(world.loop, [](Queue& q) -> Task<> {
            co_await q.world.loop.async_sleep(59min);
        }(*this));
        CHECK(ended);
    }

    std::optional<RateLimiter> limiter;  // before the world: it outlives its waiters
    World world;
};

}  // namespace

TEST_CASE("08.3 a burst passes at once, then one task per period") {
    Queue queue(2, 100ms);
    INFO("a bucket of 2 tokens, one more each 100 ms; five tasks come at 0");
    for (const char* name : {"a", "b", "c", "d", "e"}) queue.comes(name);
    queue.run();
    const Log expected{"0: a", "0: b", "100: c", "200: d", "300: e"};
    CHECK_MESSAGE(
        queue.world.log == expected,
        "the bucket is full at first, so two tasks pass at once, then one for each new token");
}

TEST_CASE("08.3 the bucket holds no more than a burst") {
    Queue queue(2, 100ms);
    INFO("a bucket of 2 tokens, one more each 100 ms; four tasks come after 10 quiet seconds");
    for (const char* name : {"a", "b", "c", "d"}) queue.comes(name, 10s);
    queue.run();
    const Log expected{"10000: a", "10000: b", "10100: c", "10200: d"};
    CHECK_MESSAGE(queue.world.log == expected,
                  "two of them should have passed at once. Tokens that are not taken do not "
                  "accumulate without a bound");
}

TEST_CASE("08.3 a token comes every period, whenever a task asks") {
    Queue queue(2, 100ms);
    INFO("a bucket of 2 tokens, one more each 100 ms; two tasks come at 0, two more at 150");
    for (const char* name : {"a", "b"}) queue.comes(name);
    for (const char* name : {"c", "d"}) queue.comes(name, 150ms);
    queue.run();
    const Log expected{"0: a", "0: b", "150: c", "200: d"};
    CHECK_MESSAGE(queue.world.log == expected,
                  "tokens came at 100 and at 200. A task that asks in between does not change "
                  "when the next token comes");
}

TEST_CASE("08.3 a task that comes later does not overtake") {
    Queue queue(1, 100ms);
    INFO("one token each 100 ms; 'a' and 'b' come at 0, 'late' comes at 100: when the token does");
    queue.comes("late", 100ms);
    queue.comes("a");
    queue.comes("b");
    queue.run();
    const Log expected{"0: a", "100: b", "200: late"};
    CHECK_MESSAGE(
        queue.world.log == expected,
        "'b' has waited for 100 ms and is next. A task that comes while another waits goes "
        "to the end of the line, even if there is a token");
}

TEST_CASE("08.3 a task that wakes up late does not make the others late") {
    Queue queue(3, 100ms);
    INFO("a bucket of 3 tokens, one more each 100 ms; six tasks come at 0");
    INFO("another task computes from 50 to 250, and no other task can run meanwhile");
    for (const char* name : {"a", "b", "c", "d", "e", "f"}) queue.comes(name);
    queue.world.loop.spawn("busy", [](World& w) -> Task<> {
        co_await w.loop.async_sleep(50ms);
        w.clock.advance(200ms);
    }(queue.world));
    queue.run();
    const Log expected{"0: a", "0: b", "0: c", "250: d", "250: e", "300: f"};
    CHECK_MESSAGE(
        queue.world.log == expected,
        "the tokens of 100 and 200 were there at 250, and the next one came at 300. Count "
        "from when a token came, not from when a task woke up");
}

TEST_CASE("08.3 a task that is cancelled in the line leaves it") {
    Queue queue(1, 100ms);
    INFO("one token each 100 ms; 'a' to 'd' come at 0; 'c', third in line, is cancelled at 50");
    std::vector<TaskHandle> all;
    for (const char* name : {"a", "b", "c", "d"}) all.push_back(queue.comes(name));
    queue.world.loop.spawn("cancel", [](EventLoop& loop, TaskHandle& task) -> Task<> {
        co_await loop.async_sleep(50ms);
        task.cancel();
    }(queue.world.loop, all[2]));
    queue.run();
    const Log expected{"0: a", "100: b", "200: d"};
    CHECK_MESSAGE(queue.world.log == expected,
                  "'d' should have moved up, and got its token at 200. A waiting task has not "
                  "taken a token yet");
}

TEST_CASE("08.3 a task that is cancelled at the head of the line makes room for the next") {
    Queue queue(1, 100ms);
    INFO("one token each 100 ms; 'a' to 'c' come at 0; 'b', the next one, is cancelled at 50");
    std::vector<TaskHandle> all;
    for (const char* name : {"a", "b", "c"}) all.push_back(queue.comes(name));
    queue.world.loop.spawn("cancel", [](EventLoop& loop, TaskHandle& task) -> Task<> {
        co_await loop.async_sleep(50ms);
        task.cancel();
    }(queue.world.loop, all[1]));
    queue.run();
    const Log expected{"0: a", "100: c"};
    CHECK_MESSAGE(queue.world.log == expected,
                  "'c' is next now, and the token of 100 is for it: 'b' was destroyed while it "
                  "waited, and has taken none. What resumes 'c'? (A destructor)");
}

TEST_CASE("08.3 a task that waits is woken when its token is there, and not before") {
    INFO("one token each 1,500 microseconds; eleven tasks come at 0");
    testing::Counting<callbacks::SimulatedClock> clock;
    EventLoop loop(clock);
    RateLimiter limiter(loop, 1, 1500us);
    std::vector<Duration> times;
    for (int i = 0; i < 11; ++i) {
        loop.spawn("task",
                   [](EventLoop& l, RateLimiter& from, std::vector<Duration>& all) -> Task<> {
                       co_await from.take();
                       all.push_back(l.now().time_since_epoch());
                   }(loop, limiter, times));
    }
    loop.run();
    REQUIRE(times.size() == 11);
    for (int i = 0; i < 11; ++i) {
        CHECK_MESSAGE(times[static_cast<std::size_t>(i)] == i * 1500us, "task ", i + 1,
                      " had its token at ", times[static_cast<std::size_t>(i)] / 1us,
                      " microseconds");
    }
    CHECK_MESSAGE(clock.waits < 100, "for ten tokens the loop woke ", clock.waits,
                  " times: a task that waits should not look for a token again and again");
}

TEST_CASE("08.3 when no task waits, nothing is left in the loop") {
    Queue queue(1, 100ms);
    INFO("one token each 100 ms; 'a' and 'b' come at 0. Then the loop should have nothing to do");
    queue.comes("a");
    queue.comes("b");
    const bool ended = ends(queue.world.loop, [](World& w) -> Task<> {
        co_await w.loop.async_sleep(30min);
        CHECK_MESSAGE(w.loop.sleeping() == 1,
                      "besides the limit of this test, no task should sleep: "
                      "a limiter without waiters does nothing");
    }(queue.world));
    CHECK(ended);
    CHECK(queue.world.log == Log{"0: a", "100: b"});
}
