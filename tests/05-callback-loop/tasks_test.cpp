// The task queue and the report of slow callbacks; a turn itself is in 05.2-turn_test.cpp.
#include <doctest/doctest.h>
#include <fcntl.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "chapters/05-callback-loop/event_loop.hpp"
#include "tests/05-callback-loop/pair.hpp"
#include "tests/05-callback-loop/witness.hpp"

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

TEST_CASE("a callback may throw anything, and run() may be called again") {
    SimulatedClock clock;
    EventLoop loop(clock);
    loop.call_soon([] { throw 42; });
    CHECK_THROWS_AS(loop.run(), int);
    bool ran = false;
    loop.call_soon([&] { ran = true; });
    loop.run();
    CHECK(ran);
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
    const testing::Pair pair;
    const testing::Pair silent;
    EventLoop loop;
    Log log;
    const auto reader_that_owns = [&](std::function<void()> act) {
        loop.add_reader(pair.ours.fd(), [&, owned = testing::at_the_end(std::move(act))] {
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
    SUBCASE("the removal of another reader, which owns the one that calls stop()") {
        const testing::Pair other;
        loop.add_reader(other.ours.fd(), [owned = testing::at_the_end([&] { loop.stop(); })] {});
        reader_that_owns([&] { loop.remove_reader(other.ours.fd()); });
        loop.run();  // hangs if the second one is destroyed only after the next wait
        CHECK(log == Log{"ready"});
    }
}

TEST_CASE("a task that the last removed reader queues while it is destroyed still runs") {
    const testing::Pair pair;
    EventLoop loop;
    Log log;
    loop.add_reader(pair.ours.fd(), [&, owned = testing::at_the_end([&] {
                                            loop.call_soon([&] { log.emplace_back("task"); });
                                        })] { loop.remove_reader(pair.ours.fd()); });
    testing::write_all(pair.theirs.fd(), "x");
    loop.run();
    CHECK(log == Log{"task"});
}

TEST_CASE("what a callback owns may use the loop while the loop is destroyed") {
    const testing::Pair pair;
    Log log;
    {
        EventLoop loop;
        loop.add_reader(pair.ours.fd(), [owned = testing::at_the_end([&] {
                                             log.emplace_back("reader");
                                             loop.call_later(1h, [] {});
                                         })] {});
        loop.call_soon([owned = testing::at_the_end([&] {
                            log.emplace_back("task");
                            loop.call_soon([owned = testing::at_the_end(
                                                [&] { log.emplace_back("task of a task"); })] {});
                        })] {});
    }
    CHECK(log == Log{"reader", "task", "task of a task"});
}

TEST_CASE("stop() before run(): that run() returns at once, and the next one runs") {
    EventLoop loop;
    Log log;
    loop.call_soon([&] { log.emplace_back("task"); });
    loop.stop();
    loop.run();
    CHECK(log.empty());
    loop.run();
    CHECK(log == Log{"task"});
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

TEST_CASE("a callback may ask for reports of slow callbacks, change them, and end them") {
    SimulatedClock clock;
    EventLoop loop(clock);
    clock.advance(24h);
    std::vector<Duration> reports;
    const auto report = [&](Duration held_up) { reports.push_back(held_up); };
    loop.call_soon([&] { loop.report_slow_callbacks(1s, report); });
    loop.run();
    CHECK_MESSAGE(reports.empty(), "the callback that asks was not measured from its start");
    loop.call_soon([&] {
        clock.advance(2s);
        loop.report_slow_callbacks(1s, [&](Duration held_up) {
            loop.report_slow_callbacks(1s, nullptr);  // destroys the function that runs
            report(held_up);
        });
    });
    loop.call_soon([&] { clock.advance(3s); });
    loop.run();
    CHECK(reports == std::vector<Duration>{2s});
}

TEST_CASE("what another thread has queued wakes the loop once, and then it sleeps again") {
    class CountingClock : public SimulatedClock {
    public:
        [[nodiscard]] std::chrono::milliseconds poll_timeout(
            callbacks::TimePoint next) const override {
            REQUIRE_MESSAGE(++waits_ < 100,
                            "the loop has waited 100 times, and its eventfd is always readable: "
                            "the reader has to read it");
            return SimulatedClock::poll_timeout(next);
        }

    private:
        mutable int waits_ = 0;
    };
    CountingClock clock;
    EventLoop loop(clock);
    int calls = 0;
    loop.call_soon_threadsafe([&] { ++calls; });
    loop.call_soon_threadsafe([&] { ++calls; });
    loop.call_later(1s, [&] { loop.stop(); });
    loop.run();
    CHECK(calls == 2);
}

TEST_CASE("a child process inherits no descriptor of the loop") {
    const auto flags = [](int fd) { return ::fcntl(fd, F_GETFD); };  // -1: not open
    std::vector<int> closed;
    for (int fd = 0; fd < 256; ++fd) {
        if (flags(fd) == -1) closed.push_back(fd);
    }
    const EventLoop loop;
    int opened = 0;
    for (const int fd : closed) {
        if (flags(fd) == -1) continue;
        ++opened;
        CHECK_MESSAGE((flags(fd) & FD_CLOEXEC) != 0, "descriptor ", fd, " survives exec()");
    }
    CHECK(opened > 0);
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
