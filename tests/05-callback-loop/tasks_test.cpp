// The task queue and the report of slow callbacks; a turn itself is in 05.2-turn_test.cpp.
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
using callbacks::TimerHandle;
using namespace std::chrono_literals;
using Log = std::vector<std::string>;

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
        TimerHandle timer;
        int fd;
        ~Owner() {
            loop.cancel(timer);
            loop.remove_reader(fd);
            loop.call_soon([] {});
        }
        Owner(EventLoop& loop, TimerHandle timer, int fd) : loop(loop), timer(timer), fd(fd) {}
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

TEST_CASE("what a removed reader owns may wake or stop the loop while it is destroyed") {
    struct AtTheEnd {
        std::function<void()> act;
        explicit AtTheEnd(std::function<void()> what) : act(std::move(what)) {}
        AtTheEnd(const AtTheEnd&) = delete;
        AtTheEnd& operator=(const AtTheEnd&) = delete;
        ~AtTheEnd() { act(); }
    };
    const testing::Pair pair;
    const testing::Pair silent;
    EventLoop loop;
    Log log;
    const auto reader_that_owns = [&](std::function<void()> act) {
        loop.add_reader(pair.ours.fd(), [&, owned = std::make_shared<AtTheEnd>(std::move(act))] {
            log.emplace_back("ready");
            loop.remove_reader(pair.ours.fd());
        });
    };
    loop.add_reader(silent.ours.fd(), [] {});  // so that the loop would sleep forever
    testing::write_all(pair.theirs.fd(), "x");
    SUBCASE("a task") {
        reader_that_owns([&] {
            loop.call_soon([&] {
                log.emplace_back("task");
                loop.stop();
            });
        });
        loop.run();
        CHECK(log == Log{"ready", "task"});
    }
    SUBCASE("stop()") {
        reader_that_owns([&] { loop.stop(); });
        loop.run();
        CHECK(log == Log{"ready"});
    }
}

TEST_CASE("a slow callback is reported with the time for which it blocked the loop") {
    SimulatedClock clock;
    EventLoop loop(clock);
    std::vector<Duration> reports;
    loop.report_slow_callbacks(100ms, [&](Duration held_up) { reports.push_back(held_up); });
    loop.call_soon([&] { clock.advance(99ms); });
    loop.call_soon([&] { clock.advance(212ms); });
    loop.call_later(1s, [&] { clock.advance(100ms); });
    loop.call_later(9s, [] {});  // waiting does not block the loop
    loop.run();
    CHECK(reports == std::vector<Duration>{212ms, 100ms});

    loop.call_soon([&] {
        clock.advance(300ms);
        throw std::runtime_error("slow, and wrong");
    });
    CHECK_THROWS(loop.run());
    CHECK(reports.size() == 3);
}

TEST_CASE("call_soon_threadsafe() wakes a loop that sleeps") {
    EventLoop loop;
    const auto loops_thread = std::this_thread::get_id();
    loop.work_started();  // nothing to see yet, but something will come
    std::thread other([&] {
        for (int i = 0; i < 1000; ++i) loop.call_soon_threadsafe([] {});
        loop.call_soon_threadsafe([&] {
            CHECK(std::this_thread::get_id() == loops_thread);
            loop.work_finished();
        });
    });
    loop.run();  // hangs if the loop is not woken up
    other.join();
}
