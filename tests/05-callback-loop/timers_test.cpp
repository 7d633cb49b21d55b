// Timers on the loop; what they do to each other in their queue is in 05.1-timer_queue_test.cpp.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "chapters/05-callback-loop/event_loop.hpp"
#include "tests/05-callback-loop/pair.hpp"

using callbacks::EventLoop;
using callbacks::SimulatedClock;
using callbacks::TimePoint;
using namespace std::chrono_literals;
using Log = std::vector<std::string>;

TEST_CASE("timers fire by time, and at the same time in the order in which they were set") {
    SimulatedClock clock;
    EventLoop loop(clock);
    Log log;
    const TimePoint start = loop.now();
    loop.call_later(2s, [&] { log.emplace_back("2 s"); });
    loop.call_later(1s, [&] { log.emplace_back("1 s, set first"); });
    loop.call_at(start + 1s, [&] { log.emplace_back("1 s, set second"); });
    loop.call_at(start - 1s, [&] { log.emplace_back("overdue"); });
    loop.run();
    CHECK(log == Log{"overdue", "1 s, set first", "1 s, set second", "2 s"});
    CHECK(loop.now() - start == 2s);
}

TEST_CASE("a timer is never early") {
    EventLoop loop;  // on the real clock: there is a lower bound, and no upper one
    for (const auto delay : {1us, 999us, 1001us, 2500us}) {
        const TimePoint start = loop.now();
        TimePoint fired;
        loop.call_later(delay, [&] { fired = loop.now(); });
        loop.run();
        CHECK(fired - start >= delay);
    }
}

TEST_CASE("a wait for a timer is rounded up: it does not spin through the last millisecond") {
    const callbacks::SteadyClock clock;
    CHECK(clock.poll_timeout(clock.now() + 100ms) == 100ms);
    CHECK(clock.poll_timeout(clock.now()) == 0ms);
    CHECK(clock.poll_timeout(clock.now() - 1h) == 0ms);
    CHECK(clock.poll_timeout(callbacks::no_wait) == 0ms);
    CHECK(clock.poll_timeout(callbacks::no_deadline) == -1ms);
    INFO("epoll_wait takes an int of milliseconds: 24 days");
    CHECK(clock.poll_timeout(clock.now() + 24h * 365) <= 24h);
}

TEST_CASE("a delay that is longer than the clock can show never ends") {
    SimulatedClock clock;
    EventLoop loop(clock);
    clock.advance(1s);
    Log log;
    loop.call_later(callbacks::Duration::max(), [&] { log.emplace_back("never"); });
    loop.call_later(callbacks::Duration::max() - 1ns, [&] { log.emplace_back("never"); });
    loop.call_later(24h * 365, [&] { loop.stop(); });
    loop.run();
    CHECK(log.empty());
}

TEST_CASE("a negative delay counts as none, also for a timer that a timer sets") {
    for (const bool simulated : {true, false}) {
        SimulatedClock simulation;
        EventLoop loop(simulated ? static_cast<callbacks::Clock&>(simulation)
                                 : callbacks::steady_clock());
        int fired = 0;
        const std::function<void()> again = [&] {
            if (++fired < 3) loop.call_later(callbacks::Duration::min(), again);
        };
        loop.call_soon(again);
        loop.run();  // hangs if the time overflows
        CHECK(fired == 3);
    }
    EventLoop loop;
    int fired = 0;
    loop.call_later(0s, [&] { loop.call_at(TimePoint::min() + 1ns, [&] { ++fired; }); });
    loop.run();
    CHECK(fired == 1);
}

TEST_CASE("timers set while timers fire wait for the next turn") {
    SimulatedClock clock;
    EventLoop loop(clock);
    Log log;
    loop.call_soon([&] { log.emplace_back("end of turn 1"); });
    loop.call_later(0s, [&] {
        log.emplace_back("first");
        loop.call_later(0s, [&] { log.emplace_back("set by the first"); });
        // Overdue, it comes before all others in time, but not into this turn.
        loop.call_at(loop.now() - 1h, [&] { log.emplace_back("set by the first, overdue"); });
    });
    loop.call_later(0s, [&] { log.emplace_back("second"); });
    loop.run();
    CHECK(log ==
          Log{"first", "second", "end of turn 1", "set by the first, overdue", "set by the first"});
}

TEST_CASE("a zero delay that re-arms itself forever does not starve readers and tasks") {
    SimulatedClock clock;
    EventLoop loop(clock);
    const testing::Pair pair;
    int rounds = 0;
    bool task_ran = false;
    std::function<void()> again = [&] {
        REQUIRE_MESSAGE(++rounds < 100, "the timer fired 100 times, and no other callback ran");
        if (rounds == 3) testing::write_all(pair.theirs.fd(), "x");
        loop.call_later(0s, again);
    };
    loop.call_later(0s, again);
    loop.call_soon([&] { task_ran = true; });
    loop.add_reader(pair.ours.fd(), [&] { loop.stop(); });
    loop.run();
    CHECK(task_ran);
}

TEST_CASE("a timer repeated with call_at does not drift, however long its callback takes") {
    SimulatedClock clock;
    EventLoop loop(clock);
    const TimePoint start = loop.now();
    std::vector<TimePoint> fired;
    std::function<void(TimePoint)> tick = [&](TimePoint due) {
        fired.push_back(loop.now());
        clock.advance(30ms);
        if (fired.size() < 5) loop.call_at(due + 100ms, [&, due] { tick(due + 100ms); });
    };
    loop.call_at(start + 100ms, [&] { tick(start + 100ms); });
    loop.run();
    CHECK(fired == std::vector<TimePoint>{start + 100ms, start + 200ms, start + 300ms,
                                          start + 400ms, start + 500ms});
}
