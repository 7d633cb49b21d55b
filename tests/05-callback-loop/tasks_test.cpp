// The task queue, run() and stop(), and what happens when a callback throws or is slow.
#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "chapters/05-callback-loop/event_loop.hpp"
#include "tests/05-callback-loop/pair.hpp"

using callbacks::Duration;
using callbacks::EventLoop;
using callbacks::SimulatedClock;
using callbacks::Timer;
using namespace std::chrono_literals;
using Log = std::vector<std::string>;

TEST_CASE("run() returns when nothing is left that could happen") {
    SimulatedClock clock;
    EventLoop loop(clock);
    int calls = 0;

    SUBCASE("at once, on an empty loop") {
        loop.run();
    }
    SUBCASE("after the last task") {
        loop.call_soon([&] { ++calls; });
        loop.run();
        CHECK(calls == 1);
    }
    SUBCASE("after the last timer") {
        loop.call_later(1h, [&] { ++calls; });
        loop.run();
        CHECK(calls == 1);
    }
    SUBCASE("after the last watcher") {
        const testing::Pair pair;
        testing::write_all(pair.theirs.fd(), "x");
        loop.add_reader(pair.ours.fd(), [&] {
            ++calls;
            loop.remove_reader(pair.ours.fd());
        });
        loop.run();
        CHECK(calls == 1);
    }
    SUBCASE("after the last timer was cancelled") {
        const Timer timer = loop.call_later(1h, [&] { ++calls; });
        loop.call_soon([&] { loop.cancel(timer); });
        loop.run();
        CHECK(calls == 0);
        INFO("a cancelled timer must not be waited for");
        CHECK(clock.now() == callbacks::TimePoint());
    }
    SUBCASE("after a task that another thread queued before run()") {
        loop.call_soon_threadsafe([&] { ++calls; });
        loop.run();
        CHECK(calls == 1);
    }
    CHECK(!loop.in_callback());
}

TEST_CASE("tasks run in the order in which they were queued, each in the turn after") {
    SimulatedClock clock;
    EventLoop loop(clock);
    Log log;
    loop.call_soon([&] {
        log.emplace_back("1");
        loop.call_soon([&] { log.emplace_back("3, queued by 1"); });
    });
    loop.call_soon([&] { log.emplace_back("2"); });
    loop.run();
    CHECK(log == Log{"1", "2", "3, queued by 1"});
}

TEST_CASE("a turn: due timers, then readiness, then queued tasks") {
    SimulatedClock clock;
    EventLoop loop(clock);
    Log log;
    const testing::Pair pair;
    testing::write_all(pair.theirs.fd(), "x");
    loop.call_soon([&] {
        log.emplace_back("task");
        loop.stop();
    });
    loop.add_reader(pair.ours.fd(), [&] { log.emplace_back("reader"); });
    loop.call_later(0s, [&] { log.emplace_back("timer"); });
    loop.run();
    CHECK(log == Log{"timer", "reader", "task"});
}

TEST_CASE("what a timer or a reader queues runs in the next turn, not in this one") {
    SimulatedClock clock;
    EventLoop loop(clock);
    Log log;
    const testing::Pair pair;
    testing::write_all(pair.theirs.fd(), "x");
    loop.call_later(0s, [&] { loop.call_soon([&] { log.emplace_back("task of the timer"); }); });
    loop.add_reader(pair.ours.fd(), [&] {
        log.emplace_back("reader");
        if (log.size() > 1) loop.remove_reader(pair.ours.fd());
    });
    loop.run();
    // The reader's second call opens the second turn; the task follows at its end.
    CHECK(log == Log{"reader", "reader", "task of the timer"});
}

TEST_CASE("a task that queues itself for ever starves neither timers nor readers") {
    SimulatedClock clock;
    EventLoop loop(clock);
    const testing::Pair pair;
    int turns = 0;
    bool timer_fired = false;
    bool reader_called = false;
    std::function<void()> again = [&] {
        if (++turns == 3) testing::write_all(pair.theirs.fd(), "x");
        REQUIRE_MESSAGE(turns < 100, "the task ran 100 times, and nobody else had a turn");
        clock.advance(1ms);
        loop.call_soon(again);
    };
    loop.call_soon(again);
    loop.call_later(5ms, [&] { timer_fired = true; });
    loop.add_reader(pair.ours.fd(), [&] {
        reader_called = true;
        if (timer_fired) loop.stop();
    });
    loop.run();
    CHECK(reader_called);
}

TEST_CASE("stop() ends run() after the turn, without sleeping, and run() may be called again") {
    SimulatedClock clock;
    EventLoop loop(clock);
    int calls = 0;

    SUBCASE("called by a task") {
        loop.call_soon([&] { loop.stop(); });
        loop.call_soon([&] { ++calls; });
        loop.run();
        INFO("the task queued after the one that stopped belongs to the same turn");
        CHECK(calls == 1);
    }
    SUBCASE("called by a timer: the watcher that never becomes ready is not waited for") {
        const testing::Pair pair;
        loop.add_reader(pair.ours.fd(), [&] { ++calls; });
        loop.call_later(1s, [&] { loop.stop(); });
        loop.run();
        CHECK(calls == 0);
        testing::write_all(pair.theirs.fd(), "x");
        loop.call_soon([&] { loop.stop(); });
        loop.run();
        CHECK(calls == 1);
    }
    SUBCASE("timers stay set") {
        loop.call_soon([&] { loop.stop(); });
        loop.call_later(1s, [&] { ++calls; });
        loop.run();
        CHECK(calls == 0);
        loop.run();
        CHECK(calls == 1);
    }
}

TEST_CASE("a callback that throws: it leaves run(), and all that was still to come does come") {
    SimulatedClock clock;
    EventLoop loop(clock);
    Log log;
    const auto fail = [] { throw std::runtime_error("as arranged"); };

    SUBCASE("a task") {
        loop.call_soon(fail);
        loop.call_soon([&] { log.emplace_back("next task"); });
        loop.call_later(1s, [&] { log.emplace_back("timer"); });
        CHECK_THROWS_WITH(loop.run(), "as arranged");
        CHECK(log.empty());
        loop.run();
        CHECK(log == Log{"next task", "timer"});
    }
    SUBCASE("a timer, and another one due at the same instant") {
        loop.call_later(1s, fail);
        loop.call_later(1s, [&] { log.emplace_back("sibling"); });
        CHECK_THROWS_WITH(loop.run(), "as arranged");
        loop.run();
        CHECK(log == Log{"sibling"});
    }
    SUBCASE("a reader, and others in the same batch") {
        const std::array<testing::Pair, 3> pairs;
        for (const testing::Pair& pair : pairs) testing::write_all(pair.theirs.fd(), "x");
        bool failed = false;
        for (const testing::Pair& pair : pairs) {
            loop.add_reader(pair.ours.fd(), [&, fd = pair.ours.fd()] {
                loop.remove_reader(fd);
                if (!failed) {
                    failed = true;
                    fail();
                }
                log.emplace_back("reader");
            });
        }
        CHECK_THROWS_WITH(loop.run(), "as arranged");
        loop.run();
        CHECK(log == Log{"reader", "reader"});
    }
    CHECK(!loop.in_callback());
}

TEST_CASE("run() inside a callback is an error, not a second loop") {
    SimulatedClock clock;
    EventLoop loop(clock);
    loop.call_soon([&] { CHECK_THROWS_AS(loop.run(), std::logic_error); });
    loop.run();
}

TEST_CASE("a callback is destroyed after it has run, and not while it runs") {
    SimulatedClock clock;
    EventLoop loop(clock);
    auto alive = std::make_shared<int>(0);
    const std::weak_ptr<int> watch = alive;
    loop.call_soon([&, alive = std::move(alive)] { *alive = 1; });
    loop.call_soon([&] { CHECK(watch.expired()); });
    loop.run();
}

TEST_CASE("what callbacks own may use the loop while it is destroyed") {
    struct Owner {
        EventLoop& loop;
        Timer timer;
        int fd;
        ~Owner() {
            loop.cancel(timer);
            loop.remove_reader(fd);
            loop.call_soon([] {});
        }
        Owner(EventLoop& loop, Timer timer, int fd) : loop(loop), timer(timer), fd(fd) {}
        Owner(const Owner&) = delete;
        Owner& operator=(const Owner&) = delete;
    };
    const testing::Pair pair;
    SimulatedClock clock;
    EventLoop loop(clock);
    const auto owner = [&] {
        return std::make_shared<Owner>(loop, loop.call_later(1s, [] {}), pair.ours.fd());
    };
    loop.call_soon([owned = owner()] { CHECK(owned); });
    loop.call_later(1s, [owned = owner()] { CHECK(owned); });
    loop.add_reader(pair.ours.fd(), [owned = owner()] { CHECK(owned); });
    CHECK(true);  // AddressSanitizer would object
}

TEST_CASE("a slow callback is reported with the time for which it held the loop up") {
    SimulatedClock clock;
    EventLoop loop(clock);
    std::vector<Duration> reports;
    loop.report_slow_callbacks(100ms, [&](Duration held_up) { reports.push_back(held_up); });
    loop.call_soon([&] { clock.advance(99ms); });
    loop.call_soon([&] { clock.advance(212ms); });
    loop.call_later(1s, [&] { clock.advance(100ms); });
    loop.call_later(9s, [] {});  // waiting holds nobody up
    loop.run();
    CHECK(reports == std::vector<Duration>{212ms, 100ms});

    loop.call_soon([&] {
        clock.advance(300ms);
        throw std::runtime_error("slow, and wrong");
    });
    CHECK_THROWS(loop.run());
    CHECK(reports.size() == 3);
}

TEST_CASE("the hook runs after each callback, also after one that threw") {
    SimulatedClock clock;
    EventLoop loop(clock);
    Log log;
    loop.after_each_callback([&] {
        CHECK(loop.in_callback());
        log.emplace_back("hook");
    });
    loop.call_soon([&] { log.emplace_back("task"); });
    loop.call_later(1s, [&] {
        log.emplace_back("timer");
        throw std::runtime_error("as arranged");
    });
    CHECK_THROWS(loop.run());
    CHECK(log == Log{"task", "hook", "timer", "hook"});
    CHECK(!loop.in_callback());
}

TEST_CASE("call_soon_threadsafe() wakes a loop that sleeps") {
    EventLoop loop;
    const auto loops_thread = std::this_thread::get_id();
    loop.hold();  // nothing to see yet, but something will come
    std::thread other([&] {
        for (int i = 0; i < 1000; ++i) loop.call_soon_threadsafe([] {});
        loop.call_soon_threadsafe([&] {
            CHECK(std::this_thread::get_id() == loops_thread);
            loop.release();
        });
    });
    loop.run();  // hangs where the loop is not woken up
    other.join();
}
