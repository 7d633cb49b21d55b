// Exercise 08.2: when_all, when_any, with_timeout. The first one wins, and the others are gone.
#include <doctest/doctest.h>

#include <chrono>
#include <coroutine>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "tests/05-callback-loop/pair.hpp"
#include "tests/08-coroutine-loop/world.hpp"

using coroutines::Duration;
using coroutines::EventLoop;
using coroutines::Task;
using coroutines::TaskHandle;
using coroutines::TimedOut;
using coroutines::when_all;
using coroutines::when_any;
using coroutines::with_timeout;
using testing::ends;
using testing::Trace;
using testing::World;
using namespace std::chrono_literals;

namespace {

using Log = std::vector<std::string>;

/// A loop in virtual time, and its racers.
struct Race {
    int alive = 0;  // racers; outlives the loop, which may destroy the last ones
    World world;

    template <typename T>
    Task<T> after(Duration delay, T value) {
        const Trace trace(alive);
        co_await world.loop.async_sleep(delay);
        co_return value;
    }

    Task<> fail_after(Duration delay, std::string why) {
        const Trace trace(alive);
        co_await world.loop.async_sleep(delay);
        throw std::runtime_error(why);
    }

    /// Ends without waiting.
    Task<int> at_once(std::string name, int value) {
        world.note(name);
        co_return value;
    }

    // NOLINTNEXTLINE(readability-convert-member-functions-to-static): like the others
    Task<std::pair<int, int>> pair_at_once(int first, int second) {
        co_return std::pair(first, second);
    }

    Task<> fail_at_once(std::string name) {
        world.note(name);
        throw std::runtime_error(name);
        co_return;
    }

    /// Waits for a descriptor on which nothing ever comes.
    Task<> listen_forever(int fd) {
        const Trace trace(alive);
        co_await world.loop.until_readable(fd);
    }
};

/// Stands in for the coroutine that awaits a group. It only notes that it was resumed.
struct Probe {
    struct promise_type {
        Probe get_return_object() {
            return Probe(std::coroutine_handle<promise_type>::from_promise(*this));
        }
        [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
        [[nodiscard]] std::suspend_always final_suspend() const noexcept { return {}; }
        void return_void() const noexcept {}
        void unhandled_exception() const noexcept {}
    };
    explicit Probe(std::coroutine_handle<promise_type> handle) : frame(handle) {}
    Probe(const Probe&) = delete;
    Probe& operator=(const Probe&) = delete;
    ~Probe() { frame.destroy(); }
    std::coroutine_handle<promise_type> frame;
};

Probe probe(bool& resumed) {
    resumed = true;
    co_return;
}

const std::string still_waits = "an hour has passed, and the awaiting coroutine was not resumed";
const std::string rules = " (docs/08-coroutine-loop.md, \"Ownership and cancellation\")";

}  // namespace

TEST_CASE("08.2 a group resumes nothing while it starts its tasks") {
    Race race;
    INFO("a group of two tasks, one of which is enough; the first one ends inside its start()");
    std::tuple<coroutines::detail::Outcome<int>, coroutines::detail::Outcome<int>> outcomes;
    Task<int> first = race.at_once("first", 1);
    Task<int> second = race.after(1h, 2);
    auto members =
        coroutines::detail::members(outcomes, std::index_sequence<0, 1>(), first, second);
    coroutines::detail::Group group(members, 1);
    bool resumed = false;
    const Probe awaiting = probe(resumed);
    const bool suspends = group.await_suspend(awaiting.frame);
    CHECK_MESSAGE(!resumed,
                  "await_suspend() was still starting the tasks, and on_member_done() returned the "
                  "awaiting coroutine, which was resumed. That coroutine may end, and with it the "
                  "group, which await_suspend() still uses: a crash",
                  rules);
    CHECK_MESSAGE(!suspends,
                  "the wait is over, so nothing will resume the awaiting coroutine: "
                  "await_suspend() should return false");
}

TEST_CASE("08.2 when_all returns all results when the last one is there") {
    Race race;
    INFO("three tasks take 30, 10 and 20 ms, and a fourth one no time");
    const bool ended = ends(race.world.loop, [](Race& r) -> Task<> {
        auto [number, text, nothing, pointer] = co_await when_all(
            r.after(30ms, 1), r.after(10ms, std::string("two")),
            coroutines::pass(r.world.loop, 20ms), r.after(0ms, std::make_unique<int>(4)));
        CHECK(number == 1);
        CHECK(text == "two");
        static_assert(std::is_same_v<decltype(nothing), std::monostate>);
        CHECK(*pointer == 4);
        CHECK_MESSAGE(r.world.milliseconds() == 30,
                      "it should have gone on when the last one ended");
        CHECK(r.alive == 0);
    }(race));
    CHECK_MESSAGE(ended,
                  "all four have ended, and the awaiting coroutine was not resumed. The last "
                  "on_member_done() has to return it");
}

TEST_CASE("08.2 tasks that never suspend do not suspend the coroutine that awaits them") {
    Race race;
    INFO("co_await when_all(a, b), where neither of the two suspends; before that, of no task");
    const bool ended = ends(race.world.loop, [](Race& r) -> Task<> {
        co_await when_all();
        const auto both = co_await when_all(r.at_once("a", 1), r.at_once("b", 2));
        CHECK(both == std::tuple(1, 2));
        const auto alone = co_await when_all(r.pair_at_once(3, 4));  // a tuple of one pair
        CHECK(std::get<0>(alone) == std::pair(3, 4));
    }(race));
    CHECK_MESSAGE(ended,
                  "it waits forever: both had ended before it suspended, and no task is left "
                  "that could resume it. await_suspend() returns false when the wait is over");
    CHECK(race.world.log == Log{"0: a", "0: b"});
}

TEST_CASE("08.2 the first to finish wins, and the losers are destroyed") {
    Race race;
    const testing::Pair pair;
    INFO("when_any of three: a sleep of an hour, one of 10 ms, a wait for bytes that never come");
    const bool ended = ends(race.world.loop, [](Race& r, int fd) -> Task<> {
        EventLoop& loop = r.world.loop;
        const std::size_t sleeping = loop.sleeping();
        const auto winner =
            co_await when_any(r.after(1h, 1), r.after(10ms, 2), r.listen_forever(fd));
        CHECK_MESSAGE(winner.index() == 1, "the second one should have won");
        CHECK(std::get<1>(winner) == 2);
        CHECK_MESSAGE(r.world.milliseconds() == 10,
                      "it should have gone on with the first to finish, "
                      "after 10 ms");
        CHECK_MESSAGE(r.alive == 0,
                      "the losers should be gone before the winner's result is there; "
                      "so many of their frames are alive: ",
                      r.alive, rules);
        CHECK_MESSAGE(loop.sleeping() == sleeping,
                      "the loser's place among the sleepers is not free");
        CHECK_MESSAGE(loop.waiting() == 0, "the loser's descriptor is still being watched");
    }(race, pair.ours.fd()));
    CHECK_MESSAGE(ended, still_waits);
}

TEST_CASE("08.2 no other task starts once one has ended") {
    Race race;
    INFO("when_any of three: the first one sleeps, the second one ends at once");
    const bool ended = ends(race.world.loop, [](Race& r) -> Task<> {
        const auto winner =
            co_await when_any(r.after(1ms, 0), r.at_once("second", 1), r.at_once("third", 2));
        CHECK(winner.index() == 1);
        CHECK(r.alive == 0);
    }(race));
    CHECK_MESSAGE(ended, still_waits);
    const Log expected{"0: second"};
    CHECK_MESSAGE(race.world.log == expected,
                  "the outcome was known, and yet the third task was "
                  "started. It may have sent something by now",
                  rules);
}

TEST_CASE("08.2 the first failure destroys the other tasks, then propagates") {
    Race race;
    const testing::Pair pair;
    INFO(
        "when_all of four: an hour, one that fails after 10 ms, a wait for bytes that never come, "
        "one that fails after 20 ms");
    const bool ended = ends(race.world.loop, [](Race& r, int fd) -> Task<> {
        EventLoop& loop = r.world.loop;
        const std::size_t sleeping = loop.sleeping();
        std::string said = "nothing was thrown";
        try {
            co_await when_all(r.after(59min, 1), r.fail_after(10ms, "first"), r.listen_forever(fd),
                              r.fail_after(20ms, "second"));
        } catch (const std::runtime_error& error) {
            said = error.what();
        }
        CHECK(said == "first");
        CHECK_MESSAGE(r.world.milliseconds() == 10,
                      "it should have been thrown when it happened, "
                      "after 10 ms");
        CHECK_MESSAGE(r.alive == 0,
                      "the siblings should be gone before the exception arrives; the "
                      "number of their frames that are alive is ",
                      r.alive, rules);
        CHECK(loop.sleeping() == sleeping);
        CHECK(loop.waiting() == 0);
    }(race, pair.ours.fd()));
    CHECK_MESSAGE(ended,
                  "an hour has passed, and it still waits for the others. A failure does not "
                  "count as one of the missing results: it ends the wait",
                  rules);
}

TEST_CASE("08.2 no other task starts once one has failed") {
    Race race;
    INFO("when_all of three: the second one fails at once");
    const bool ended = ends(race.world.loop, [](Race& r) -> Task<> {
        try {
            co_await when_all(r.at_once("a", 1), r.fail_at_once("b"), r.at_once("c", 3));
        } catch (const std::runtime_error&) {
            r.world.note("caught");
        }
    }(race));
    CHECK_MESSAGE(ended, still_waits);
    CHECK(race.world.log == Log{"0: a", "0: b", "0: caught"});
}

TEST_CASE("08.2 a task that fails first wins, too") {
    Race race;
    INFO("when_any of two: a result after 20 ms, an exception after 10; then the other way round");
    const bool ended = ends(race.world.loop, [](Race& r) -> Task<> {
        std::string said = "nothing was thrown";
        try {
            co_await when_any(r.after(20ms, 1), r.fail_after(10ms, "faster"));
        } catch (const std::exception& error) {
            said = error.what();
        }
        CHECK_MESSAGE(said == "faster",
                      "the winner's exception should reach the awaiting coroutine", rules);
        CHECK(r.alive == 0);
        const auto winner = co_await when_any(r.after(10ms, 1), r.fail_after(10ms, "late"));
        CHECK_MESSAGE(winner.index() == 0, "an exception that comes too late is ignored");
    }(race));
    CHECK_MESSAGE(ended, still_waits);
    CHECK(race.world.errors.empty());
}

TEST_CASE("08.2 an exception that is no std::exception propagates, too") {
    Race race;
    INFO("when_all and when_any of a task that throws 42, and of one that takes an hour");
    const bool ended = ends(race.world.loop, [](Race& r) -> Task<> {
        const auto throw_42 = []() -> Task<int> {
            throw 42;
            co_return 0;
        };
        int caught = 0;
        try {
            co_await when_all(r.after(59min, 1), throw_42());
        } catch (const int number) {
            caught += number;
        }
        try {
            co_await when_any(r.after(59min, 1), throw_42());
        } catch (const int number) {
            caught += number;
        }
        CHECK(caught == 84);
        CHECK(r.alive == 0);
    }(race));
    CHECK_MESSAGE(ended, still_waits);
}

TEST_CASE("08.2 groups within groups") {
    Race race;
    INFO("a race of two when_all, one of which contains a race: 5 ms against 4");
    const bool ended = ends(race.world.loop, [](Race& r) -> Task<> {
        const auto outer =
            co_await when_any(when_all(r.after(1ms, 1), r.after(5ms, 2)),
                              when_all(r.after(3ms, 3), when_any(r.after(1h, 4), r.after(4ms, 5))));
        CHECK(outer.index() == 1);
        CHECK(r.alive == 0);
        CHECK(r.world.milliseconds() == 4);
    }(race));
    CHECK_MESSAGE(ended, still_waits);
}

TEST_CASE("08.2 a group that is destroyed while it waits destroys all of its tasks") {
    Race race;
    INFO("a task waits for when_any(1 h, when_all(1 h, 1 h)), and is cancelled after 1 ms");
    auto waiting = race.world.loop.spawn("waiting", [](Race& r) -> Task<> {
        co_await when_any(r.after(1h, 1), when_all(r.after(1h, 2), r.after(1h, 3)));
    }(race));
    const bool ended = ends(race.world.loop, [](Race& r, TaskHandle& other) -> Task<> {
        co_await r.world.loop.async_sleep(1ms);
        CHECK_MESSAGE(r.alive == 3,
                      "all three should have been started: a group starts its tasks "
                      "before it waits for the first of them");
        other.cancel();
        co_await r.world.loop.async_sleep(0ms);
        CHECK(r.alive == 0);
        CHECK_MESSAGE(r.world.loop.sleeping() == 1, "only the limit of this test should sleep");
    }(race, waiting));
    CHECK_MESSAGE(ended, still_waits);
}

TEST_CASE("08.2 a task in time: its result, and no timer is left") {
    Race race;
    INFO("with_timeout of an hour around a task that takes 1 ms, and around one without a result");
    const bool ended = ends(race.world.loop, [](Race& r) -> Task<> {
        EventLoop& loop = r.world.loop;
        const std::size_t sleeping = loop.sleeping();
        const auto value =
            co_await with_timeout(loop, r.after(1ms, std::make_unique<int>(7)), 59min);
        CHECK(*value == 7);
        CHECK_MESSAGE(loop.sleeping() == sleeping, "the timeout's sleep should be gone");
        co_await with_timeout(loop, coroutines::pass(loop, 1ms), 59min);
        CHECK(r.world.milliseconds() == 2);
    }(race));
    CHECK_MESSAGE(ended, still_waits);
}

TEST_CASE("08.2 a task that is too late: TimedOut, and the task is gone") {
    Race race;
    INFO("with_timeout of 10 ms around a task that takes an hour");
    const bool ended = ends(race.world.loop, [](Race& r) -> Task<> {
        std::string said = "nothing was thrown";
        try {
            co_await with_timeout(r.world.loop, r.after(59min, 1), 10ms);
        } catch (const TimedOut& error) {
            said = error.what();
        }
        CHECK(said == "timed out");
        CHECK_MESSAGE(r.alive == 0, "the task that is too late should be gone", rules);
        CHECK(r.world.milliseconds() == 10);
    }(race));
    CHECK_MESSAGE(ended, still_waits);
}

TEST_CASE("08.2 a task that ends exactly at the limit is in time") {
    Race race;
    INFO("with_timeout of 10 ms around a task that takes 10 ms; of 0 around one that takes none");
    const bool ended = ends(race.world.loop, [](Race& r) -> Task<> {
        std::string said = "a result";
        try {
            co_await with_timeout(r.world.loop, r.after(10ms, 1), 10ms);
            co_await with_timeout(r.world.loop, r.at_once("done", 2), 0ms);
        } catch (const TimedOut& error) {
            said = error.what();
        }
        CHECK_MESSAGE(
            said == "a result",
            "both are due at the same time. The one that is first in the race starts first and "
            "wakes first: the task should");
    }(race));
    CHECK_MESSAGE(ended, still_waits);
}

TEST_CASE("08.2 the limit begins when the task first suspends") {
    Race race;
    INFO(
        "with_timeout of 10 ms around a task that computes for an hour, and then sleeps for 9 ms; "
        "then around one that sleeps for 11 ms");
    const bool ended = ends(
        race.world.loop,
        [](Race& r) -> Task<> {
            const auto in_time = [](World& w, Duration sleep) -> Task<bool> {
                const auto compute_and_sleep = [](World& on, Duration time) -> Task<> {
                    on.clock.advance(1h);
                    co_await on.loop.async_sleep(time);
                };
                try {
                    co_await with_timeout(w.loop, compute_and_sleep(w, sleep), 10ms);
                } catch (const TimedOut&) {
                    co_return false;
                }
                co_return true;
            };
            const bool short_one = co_await in_time(r.world, 9ms);
            CHECK_MESSAGE(short_one,
                          "it slept for 9 ms, and was too late. That it computed for an "
                          "hour before it first suspended does not count: no limit "
                          "could have interrupted that");
            const bool long_one = co_await in_time(r.world, 11ms);
            CHECK_MESSAGE(!long_one, "it slept for 11 ms, and the limit was 10");
        }(race),
        10h);
    CHECK_MESSAGE(ended, still_waits);
}

TEST_CASE("08.2 a task's own exception propagates through its timeout") {
    Race race;
    INFO("with_timeout of an hour around a task that fails after 1 ms");
    const bool ended = ends(race.world.loop, [](Race& r) -> Task<> {
        std::string said = "nothing was thrown";
        try {
            co_await with_timeout(r.world.loop, r.fail_after(1ms, "mine"), 59min);
        } catch (const std::runtime_error& error) {
            said = error.what();
        }
        CHECK(said == "mine");
    }(race));
    CHECK_MESSAGE(ended, still_waits);
}
