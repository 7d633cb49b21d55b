// Exercise 05.2: a turn of the loop: its phases, their bounds, and how long it may sleep.
#include <doctest/doctest.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>

#include "chapters/05-callback-loop/event_loop.hpp"
#include "tests/support/socket_pair.hpp"

namespace {

using callbacks::EventLoop;
using callbacks::SimulatedClock;
using callbacks::TimePoint;
using callbacks::TimerHandle;
using support::SocketPair;
using namespace std::chrono_literals;

/// A clock that jumps. A loop never sleeps on it: if it would sleep wrongly, the test fails.
class WakefulClock : public SimulatedClock {
public:
    [[nodiscard]] std::chrono::milliseconds poll_timeout(TimePoint next) const override {
        REQUIRE_MESSAGE(
            ++waits_ <= 1000,
            "the loop has polled 1000 times, and continues. If it never sleeps, it burns a core: "
            "poll_timeout(next) takes the time at which the first timer is due. And when nothing "
            "was ready, the loop must call the clock's advance_to(next)");
        if (!reason_to_stay_awake.empty() && next > now()) {
            FAIL(reason_to_stay_awake, ", and the loop went to sleep, until ", seconds(next),
                 ". What cannot wait? Check it before each sleep (docs/05-callback-loop.md, The "
                 "idea)");
        }
        return 0ms;
    }

    void advance_to(TimePoint next) override {
        if (next > now()) slept_until += (slept_until.empty() ? "" : ", ") + seconds(next);
        SimulatedClock::advance_to(next);
    }

    [[nodiscard]] std::string time() const { return seconds(now()); }

    std::string reason_to_stay_awake;  // if not empty, the test fails when the loop sleeps
    std::string slept_until;           // "3 s, 10 s"

private:
    static std::string seconds(TimePoint time) {
        if (time == callbacks::no_deadline) return "the end of time";
        return std::to_string(time.time_since_epoch() / 1s) + " s";
    }

    mutable int waits_ = 0;
};

/// A loop on that clock, a log of what happened on it, and two sockets to watch.
struct World {
    WakefulClock clock;
    EventLoop loop{clock};
    SocketPair talks;
    SocketPair silent;
    std::string story;

    World() { talks.say("x"); }

    void note(const std::string& what) { story += (story.empty() ? "" : " ") + what; }

    /// Logs "reader" in every turn, since the byte is never read.
    void read_forever() {
        loop.add_reader(talks.ours.fd(), [this] { note("reader"); });
    }
    /// Waits for a socket on which nothing ever comes.
    void wait_for_the_silent() {
        loop.add_reader(silent.ours.fd(), [] { FAIL("nothing was sent on this socket"); });
    }
    /// Queues a task that ends run() with this turn.
    void stop_soon() {
        loop.call_soon([this] { loop.stop(); });
    }
};

}  // namespace

TEST_CASE("05.2 a turn: due timers, then ready descriptors, then queued tasks") {
    World world;
    INFO(
        "a task was queued, a reader had something to read, a timer was due; then the loop ran, "
        "for one turn");
    world.loop.call_soon([&world] { world.note("task"); });
    world.read_forever();
    world.loop.call_later(0s, [&world] { world.note("timer"); });
    world.stop_soon();
    world.loop.run();
    CHECK_MESSAGE(world.story == "timer reader task",
                  "expected: timer reader task; what happened: ", world.story);
}

TEST_CASE("05.2 a task that is queued during a turn runs in the next one") {
    World world;
    INFO(
        "in the first turn a timer, a reader and a task each queued another task; the reader was "
        "called in the second turn, too");
    const std::string& story = world.story;
    bool first_turn = true;
    world.loop.call_later(0s, [&] {
        world.note("timer");
        world.loop.call_soon([&] { world.note("timer's"); });
    });
    world.loop.add_reader(world.talks.ours.fd(), [&] {
        world.note("reader");
        if (!std::exchange(first_turn, false)) {
            world.loop.remove_reader(world.talks.ours.fd());
        } else {
            world.loop.call_soon([&] { world.note("reader's"); });
        }
    });
    world.loop.call_soon([&] {
        world.note("task");
        world.loop.call_soon([&] { world.note("task's"); });
    });
    world.loop.run();
    CHECK_MESSAGE(story == "timer reader task reader timer's reader's task's",
                  "expected: timer reader task, and in the next turn: reader timer's reader's "
                  "task's; what happened: ",
                  story,
                  ". The tasks of a turn are those that were queued when it began "
                  "(docs/05-callback-loop.md, The idea)");
}

TEST_CASE("05.2 a task that queues itself forever delays no other callback") {
    World world;
    int turns = 0;
    bool timer_fired = false;
    INFO(
        "a task queues itself again, forever; a timer is due after 5 of its turns, and then "
        "there is something to read");
    std::function<void()> again = [&] {
        REQUIRE_MESSAGE(++turns <= 100,
                        "the task ran 100 times, and no other callback ran. A phase ends with "
                        "what was queued when the turn began, not when the queue is empty "
                        "(docs/05-callback-loop.md, The idea)");
        world.clock.advance(1s);
        world.loop.call_soon(again);
    };
    world.loop.call_soon(again);
    world.loop.call_later(5s, [&] {
        timer_fired = true;
        world.silent.say("x");
    });
    world.loop.add_reader(world.silent.ours.fd(), [&world] { world.loop.stop(); });
    world.loop.run();
    CHECK(timer_fired);
}

TEST_CASE("05.2 with nothing to do the loop sleeps until the first timer is due") {
    World world;
    INFO("two timers are set, for 10 s and for 3 s; no descriptor is ready");
    world.loop.call_later(10s, [&world] { world.note(world.clock.time()); });
    world.loop.call_later(3s, [&world] { world.note(world.clock.time()); });
    world.loop.run();
    CHECK_MESSAGE(world.story == "3 s 10 s",
                  "expected: 3 s 10 s; the timers fired at: ", world.story);
    CHECK_MESSAGE(world.clock.slept_until == "3 s, 10 s",
                  "it should have slept until 3 s, and until 10 s; it slept until: ",
                  world.clock.slept_until);
}

TEST_CASE("05.2 while a descriptor is ready, no time passes") {
    World world;
    INFO("three bytes came, of which the reader takes one at a time; a timer is due in an hour");
    world.talks.say("yz");
    world.loop.call_later(1h, [&world] { world.loop.remove_reader(world.talks.ours.fd()); });
    world.loop.add_reader(world.talks.ours.fd(), [&world] {
        char byte = 0;
        if (::read(world.talks.ours.fd(), &byte, 1) == 1) {
            world.note(std::string(1, byte) + " at " + world.clock.time());
        }
    });
    world.loop.run();
    CHECK_MESSAGE(world.story == "x at 0 s y at 0 s z at 0 s",
                  "expected: x, y and z at 0 s; they were read: ", world.story,
                  ". The loop must call advance_to() only when no descriptor was ready");
    CHECK_MESSAGE(world.clock.now() == TimePoint(1h), "then the hour should have passed");
}

TEST_CASE("05.2 while a task is queued the loop does not sleep") {
    World world;
    INFO("the loop waits for a silent socket, and for a timer in an hour");
    world.wait_for_the_silent();
    world.loop.call_later(1h, [] {});
    SUBCASE("queued before the turn") {
        world.clock.reason_to_stay_awake = "a task was queued";
        world.stop_soon();
    }
    SUBCASE("queued by a timer, in this turn") {
        world.clock.reason_to_stay_awake = "a timer has just queued a task";
        world.loop.call_later(0s, [&world] { world.stop_soon(); });
    }
    world.loop.run();
    CHECK_MESSAGE(world.clock.now() == TimePoint(), "the task should have run at once, at 0 s; it ",
                  "was ", world.clock.time());
}

TEST_CASE("05.2 after stop() the loop does not sleep, and ends with the turn") {
    World world;
    INFO("the loop waits for a silent socket, and for a timer in an hour");
    world.wait_for_the_silent();
    bool hour_over = false;
    world.loop.call_later(1h, [&] { hour_over = true; });
    SUBCASE("called by a timer") {
        INFO("a timer, due at once, called stop()");
        world.clock.reason_to_stay_awake = "stop() was called";
        world.loop.call_later(0s, [&world] { world.loop.stop(); });
        world.loop.run();
    }
    SUBCASE("called by a task") {
        INFO("a task called stop(); behind it another one was queued");
        world.stop_soon();
        world.loop.call_soon([&world] { world.note("second"); });
        world.loop.run();
        CHECK_MESSAGE(world.story == "second",
                      "the second task should have run: run() returns at the end of the turn");
    }
    CHECK_MESSAGE(!hour_over, "the hour is not over");
    INFO("the reader was removed, and run() called again");
    world.clock.reason_to_stay_awake.clear();
    world.loop.remove_reader(world.silent.ours.fd());
    world.loop.run();
    CHECK_MESSAGE(hour_over, "the timer should still have fired");
}

TEST_CASE("05.2 when nothing is left to wait for, the loop does not sleep, and run() returns") {
    World world;
    world.clock.reason_to_stay_awake = "nothing is left to wait for";
    SUBCASE("on an empty loop") {
        world.loop.run();
    }
    SUBCASE("a timer removes the last reader") {
        world.wait_for_the_silent();
        world.loop.call_later(0s, [&world] { world.loop.remove_reader(world.silent.ours.fd()); });
        world.loop.run();
    }
    SUBCASE("a timer cancels the last timer") {
        const TimerHandle last = world.loop.call_later(1h, [] { FAIL("it was cancelled"); });
        world.loop.call_later(0s, [&world, last] { world.loop.cancel(last); });
        world.loop.run();
    }
    SUBCASE("a reader removes itself") {
        world.loop.add_reader(world.talks.ours.fd(), [&world] {
            world.note("reader");
            world.loop.remove_reader(world.talks.ours.fd());
        });
        world.clock.reason_to_stay_awake.clear();  // before it is called there is no end in sight
        world.loop.run();
        CHECK(world.story == "reader");
    }
    SUBCASE("after a task that another thread queued before run()") {
        world.loop.call_soon_threadsafe([&world] { world.note("task"); });
        world.clock.reason_to_stay_awake.clear();
        world.loop.run();
        CHECK(world.story == "task");
    }
}

TEST_CASE("05.2 a callback that throws has run, and the others still run") {
    World world;
    const std::string& story = world.story;
    const auto fail = [] { throw std::runtime_error("as arranged"); };

    SUBCASE("a task") {
        INFO("three tasks were queued: a; b, which throws; c");
        world.loop.call_soon([&] { world.note("a"); });
        world.loop.call_soon([&] {
            world.note("b");
            if (story == "a b") fail();  // once is enough
        });
        world.loop.call_soon([&] { world.note("c"); });
        CHECK_THROWS_AS(world.loop.run(), std::runtime_error);
        CHECK_MESSAGE(story == "a b", "expected: a b; what happened: ", story);
        INFO("run() was called again");
        world.loop.run();
        CHECK_MESSAGE(story.find("b b") == std::string::npos,
                      "b ran again: a task has to be out of the queue before it is called");
        CHECK_MESSAGE(story.find('c') != std::string::npos,
                      "c never ran: an exception must not remove the tasks behind it");
        CHECK(story == "a b c");
    }
    SUBCASE("a timer, and another one due at the same instant") {
        INFO("two timers were due; the first threw; then run() was called again");
        world.loop.call_later(1s, fail);
        world.loop.call_later(1s, [&] { world.note("sibling"); });
        CHECK_THROWS_AS(world.loop.run(), std::runtime_error);
        world.loop.run();
        CHECK(story == "sibling");
    }
    SUBCASE("a reader, and others in the same batch") {
        INFO(
            "three readers had something to read; the first of them to be called threw; then "
            "run() was called again");
        const std::array<SocketPair, 3> pairs;
        bool failed = false;
        for (const SocketPair& pair : pairs) {
            pair.say("x");
            world.loop.add_reader(pair.ours.fd(), [&, fd = pair.ours.fd()] {
                world.loop.remove_reader(fd);
                if (!failed) {
                    failed = true;
                    fail();
                }
                world.note("reader");
            });
        }
        CHECK_THROWS_AS(world.loop.run(), std::runtime_error);
        world.loop.run();
        CHECK(story == "reader reader");
    }
}

TEST_CASE("05.2 every callback runs through call(), which measures it") {
    World world;
    const std::string& story = world.story;
    INFO(
        "report_slow_callbacks() was set, with a threshold of 0; a timer was due, a reader had "
        "something to read, a task was queued");
    world.loop.report_slow_callbacks(0s, [&](callbacks::Duration) { world.note("report"); });
    world.loop.call_later(0s, [&] { world.note("timer"); });
    world.read_forever();
    world.stop_soon();
    world.loop.run();
    CHECK_MESSAGE(story == "timer report reader report report",
                  "expected: timer report, reader report, and a report for the task; what "
                  "happened: ",
                  story, ". A callback that is not called through call() is never reported");
}
