// when_all, when_any, with_timeout: docs/08-coroutine-loop.md, "Ownership and cancellation".
#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "tests/05-callback-loop/pair.hpp"
#include "tests/08-coroutine-loop/world.hpp"

using coroutines::Duration;
using coroutines::EventLoop;
using coroutines::Task;
using coroutines::TimedOut;
using coroutines::when_all;
using coroutines::when_any;
using coroutines::with_timeout;
using testing::finish;
using testing::Trace;
using testing::World;
using namespace std::chrono_literals;

namespace {

using Log = std::vector<std::string>;

template <typename T>
Task<T> after(World& world, Duration delay, T value, int& alive) {
    const Trace trace(alive);
    co_await world.loop.sleep_for(delay);
    co_return value;
}

Task<> fail_after(World& world, Duration delay, const char* why, int& alive) {
    const Trace trace(alive);
    co_await world.loop.sleep_for(delay);
    throw std::runtime_error(why);
}

Task<int> at_once(World& world, std::string name, int value) {
    world.note(name);
    co_return value;
}

Task<> fail_at_once(World& world, std::string name) {
    world.note(name);
    throw std::runtime_error(name);
    co_return;
}

/// Waits for a descriptor on which nothing ever comes.
Task<> listen_in_vain(EventLoop& loop, int fd, int& alive) {
    const Trace trace(alive);
    co_await loop.readable(fd);
}

}  // namespace

TEST_SUITE("when_all") {
    TEST_CASE("gives all results, when the last one is there") {
        World world;
        int alive = 0;
        finish(world.loop, [](World& w, int& a) -> Task<> {
            auto [number, text, nothing, pointer] = co_await when_all(
                after(w, 30ms, 1, a), after(w, 10ms, std::string("two"), a),
                coroutines::pass(w.loop, 20ms), after(w, 0ms, std::make_unique<int>(4), a));
            CHECK(number == 1);
            CHECK(text == "two");
            static_assert(std::is_same_v<decltype(nothing), std::monostate>);
            CHECK(*pointer == 4);
            CHECK(w.milliseconds() == 30);
            CHECK(a == 0);
        }(world, alive));
        CHECK(world.is_quiet());
    }

    TEST_CASE("of nothing is ready at once; of ready ones too, in order") {
        World world;
        finish(world.loop, [](World& w) -> Task<> {
            co_await when_all();
            const auto both = co_await when_all(at_once(w, "a", 1), at_once(w, "b", 2));
            CHECK(both == std::tuple(1, 2));
        }(world));
        CHECK(world.log == Log{"0: a", "0: b"});
    }

    TEST_CASE("the first exception destroys the siblings, then travels") {
        World world;
        int alive = 0;
        const testing::Pair pair;
        finish(world.loop, [](World& w, int& a, int fd) -> Task<> {
            co_await w.loop.sleep_for(0ms);  // so that the limit of the test itself sleeps already
            const std::size_t sleeping = w.loop.sleeping();
            try {
                co_await when_all(after(w, 1h, 1, a), fail_after(w, 10ms, "first", a),
                                  listen_in_vain(w.loop, fd, a), fail_after(w, 20ms, "second", a));
                FAIL_CHECK("it should have thrown");
            } catch (const std::runtime_error& error) {
                CHECK(std::string(error.what()) == "first");
            }
            CHECK_MESSAGE(a == 0, "the siblings should be gone before the exception arrives");
            CHECK(w.loop.sleeping() == sleeping);
            CHECK(w.loop.watching() == 0);
            CHECK(w.milliseconds() == 10);
        }(world, alive, pair.ours.fd()));
    }

    TEST_CASE("no further task starts when one has failed") {
        World world;
        finish(world.loop, [](World& w) -> Task<> {
            try {
                co_await when_all(at_once(w, "a", 1), fail_at_once(w, "b"), at_once(w, "c", 3));
            } catch (const std::runtime_error&) {
                w.note("caught");
            }
        }(world));
        CHECK(world.log == Log{"0: a", "0: b", "0: caught"});
    }
}

TEST_SUITE("when_any") {
    TEST_CASE("the first to finish wins, and the losers are really gone") {
        World world;
        int alive = 0;
        const testing::Pair pair;
        finish(world.loop, [](World& w, int& a, int fd) -> Task<> {
            co_await w.loop.sleep_for(0ms);  // so that the limit of the test itself sleeps already
            const int watching = w.loop.watching();
            const std::size_t sleeping = w.loop.sleeping();
            const auto winner = co_await when_any(after(w, 1h, 1, a), after(w, 10ms, 2, a),
                                                  listen_in_vain(w.loop, fd, a));
            CHECK(winner.index() == 1);
            CHECK(std::get<1>(winner) == 2);
            CHECK(a == 0);
            CHECK_MESSAGE(w.loop.sleeping() == sleeping, "the loser's timer should be gone");
            CHECK_MESSAGE(w.loop.watching() == watching, "the loser's watch should be gone");
            CHECK(w.milliseconds() == 10);
            co_await w.loop.writable(fd);  // EEXIST if the kernel still watched it
        }(world, alive, pair.ours.fd()));
        CHECK_MESSAGE(world.milliseconds() == 10, "nothing of it should be left in the queues");
    }

    TEST_CASE("by an exception too") {
        World world;
        int alive = 0;
        finish(world.loop, [](World& w, int& a) -> Task<> {
            try {
                co_await when_any(after(w, 20ms, 1, a), fail_after(w, 10ms, "faster", a));
                FAIL_CHECK("it should have thrown");
            } catch (const std::runtime_error& error) {
                CHECK(std::string(error.what()) == "faster");
            }
            CHECK(a == 0);
        }(world, alive));
    }

    TEST_CASE("an exception that comes too late is not heard") {
        World world;
        int alive = 0;
        finish(world.loop, [](World& w, int& a) -> Task<> {
            const auto winner =
                co_await when_any(after(w, 10ms, 1, a), fail_after(w, 10ms, "late", a));
            CHECK(winner.index() == 0);
        }(world, alive));
        CHECK(world.errors.empty());
    }

    TEST_CASE("tasks start in order, and no further one when one is done") {
        World world;
        int alive = 0;
        finish(world.loop, [](World& w, int& a) -> Task<> {
            const auto winner = co_await when_any(after(w, 1ms, 0, a), at_once(w, "second", 1),
                                                  at_once(w, "third", 2));
            CHECK(winner.index() == 1);
            CHECK(a == 0);
        }(world, alive));
        CHECK(world.log == Log{"0: second"});
        CHECK(world.milliseconds() == 0);
    }

    TEST_CASE("groups within groups") {
        World world;
        int alive = 0;
        finish(world.loop, [](World& w, int& a) -> Task<> {
            const auto outer = co_await when_any(
                when_all(after(w, 1ms, 1, a), after(w, 5ms, 2, a)),
                when_all(after(w, 3ms, 3, a), when_any(after(w, 1h, 4, a), after(w, 4ms, 5, a))));
            CHECK(outer.index() == 1);
            CHECK(a == 0);
            CHECK(w.milliseconds() == 4);
        }(world, alive));
        CHECK(world.is_quiet());
    }

    TEST_CASE("destroyed while it waits: all of its tasks go too") {
        World world;
        int alive = 0;
        auto waiting = world.loop.spawn("waiting", [](World& w, int& a) -> Task<> {
            co_await when_any(after(w, 1h, 1, a), when_all(after(w, 1h, 2, a), after(w, 1h, 3, a)));
        }(world, alive));
        world.loop.spawn("end", [](World& w, EventLoop::Spawned& other, int& a) -> Task<> {
            co_await w.loop.sleep_for(1ms);
            CHECK(a == 3);
            other.cancel();
            co_await w.loop.sleep_for(0ms);
            CHECK(a == 0);
            CHECK(w.is_quiet());
        }(world, waiting, alive));
        world.loop.run();
        CHECK(world.milliseconds() == 1);
    }
}

TEST_SUITE("with_timeout") {
    TEST_CASE("in time: the result, and no timer is left") {
        World world;
        int alive = 0;
        finish(world.loop, [](World& w, int& a) -> Task<> {
            co_await w.loop.sleep_for(0ms);  // so that the limit of the test itself sleeps already
            const std::size_t sleeping = w.loop.sleeping();
            auto value =
                co_await with_timeout(w.loop, after(w, 1ms, std::make_unique<int>(7), a), 1h);
            CHECK(*value == 7);
            CHECK(w.loop.sleeping() == sleeping);
            co_await with_timeout(w.loop, coroutines::pass(w.loop, 1ms), 1h);
        }(world, alive));
        CHECK(world.milliseconds() == 2);
    }

    TEST_CASE("too late: TimedOut, and the task is gone") {
        World world;
        int alive = 0;
        finish(world.loop, [](World& w, int& a) -> Task<> {
            try {
                co_await with_timeout(w.loop, after(w, 1h, 1, a), 10ms);
                FAIL_CHECK("it should have thrown");
            } catch (const TimedOut& error) {
                CHECK(std::string(error.what()) == "timed out");
            }
            CHECK(a == 0);
            CHECK(w.milliseconds() == 10);
        }(world, alive));
        CHECK(world.milliseconds() == 10);
    }

    TEST_CASE("its own exception travels as it is") {
        World world;
        int alive = 0;
        CHECK_THROWS_WITH_AS(
            finish(world.loop, with_timeout(world.loop, fail_after(world, 1ms, "mine", alive), 1h)),
            "mine", std::runtime_error);
        CHECK(alive == 0);
    }
}
