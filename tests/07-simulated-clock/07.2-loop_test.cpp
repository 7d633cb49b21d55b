// Exercise 07.2: the loop and its clock.
#include <doctest/doctest.h>

#include <coroutine>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "chapters/07-simulated-clock/event.hpp"
#include "chapters/07-simulated-clock/event_loop.hpp"
#include "tests/07-simulated-clock/tools.hpp"
#include "tests/support/test.hpp"

namespace {

using simulated::Deadlock;
using simulated::Event;
using tools::EventLoop;
using tools::Guest;
using tools::Log;
using tools::sleeper;
using tools::Task;
using tools::Time;

/// Runs the loop, which may throw Deadlock. If it never ends, the watchdog says why it should.
void run(EventLoop& loop) {
    support::waiting_for(
        "run() to return (no task is ready, and SleepQueue::advance() says that none sleeps: then "
        "the loop ends)");
    loop.run();
}

/// The same for tests without a deadlock: a Deadlock is added to the log.
void run(EventLoop& loop, Log& log) {
    try {
        run(loop);
    } catch (const Deadlock& deadlock) {
        log.add(std::string("... and then a Deadlock: ") + deadlock.what());
    }
}

TEST_CASE("07.2 the example: the shorter sleep ends first, and the clock jumps") {
    EventLoop loop;
    Log log;
    loop.add_task("Task1", sleeper(loop, log, "Task1@", {2}));
    loop.add_task("Task2", sleeper(loop, log, "Task2@", {1}));
    INFO("Task1 slept for 2, Task2 for 1; then run()");
    run(loop, log);
    CHECK_MESSAGE(log.text() == "Task1@0 Task2@0 Task2@1 Task1@2",
                  "both should start at 0, Task2 resume at 1, Task1 at 2; it was \"", log.text(),
                  "\". Run all ready tasks, then advance the clock (docs/07, \"Yielded signals and "
                  "the clock\")");
    CHECK_MESSAGE(loop.current_time() == 2, "at the end the clock should show 2; it shows ",
                  loop.current_time());
}

TEST_CASE("07.2 the clock moves only when no task is ready") {
    EventLoop loop;
    Log log;
    auto parent = [](EventLoop& loop, Log& log) -> Task<> {
        loop.add_task("child", sleeper(loop, log, "child@", {}));
        log.add("parent@" + std::to_string(loop.current_time()));
        co_return;
    };
    loop.add_task("a", sleeper(loop, log, "a@", {1}));
    loop.add_task("parent", parent(loop, log));
    loop.add_task("b", sleeper(loop, log, "b@", {0, 0, 1}));
    INFO("a slept for 1; parent added a task, child; b slept for 0, for 0 again, and for 1");
    run(loop, log);
    CHECK_MESSAGE(log.text() == "a@0 parent@0 b@0 child@0 b@0 b@0 a@1 b@1",
                  "everything at 0 should happen before the clock jumps to 1; it was ", log.text());
}

TEST_CASE("07.2 tasks that wake at the same time run in the order of going to sleep") {
    EventLoop loop;
    Log log;
    loop.add_task("a", sleeper(loop, log, "a@", {3, 2}));
    loop.add_task("b", sleeper(loop, log, "b@", {5}));
    loop.add_task("c", sleeper(loop, log, "c@", {1, 4}));
    INFO("three tasks slept until 5: b since 0, c since 1, a since 3");
    run(loop, log);
    CHECK_MESSAGE(log.text() == "a@0 b@0 c@0 c@1 a@3 b@5 c@5 a@5",
                  "at 5 they should run in the order b, c, a; it was ", log.text());
}

TEST_CASE("07.2 a sleep of 0 takes no time, and lets the other ready tasks run first") {
    EventLoop loop;
    Log log;
    loop.add_task("a", sleeper(loop, log, "a@", {0, 0}));
    loop.add_task("b", sleeper(loop, log, "b@", {}));
    INFO("a slept for 0, twice; b was ready behind it");
    run(loop, log);
    CHECK_MESSAGE(log.text() == "a@0 b@0 a@0 a@0", "b should run during the first sleep; it was ",
                  log.text());
}

TEST_CASE("07.2 when every task waits and nothing can wake one, run() names the tasks") {
    EventLoop loop;
    Event chicken(loop);
    Event egg(loop);
    auto first = [](Event& wait, Event& set) -> Task<> {
        co_await wait.wait();
        set.set();
    };
    Log log;
    loop.add_task("chicken", first(egg, chicken));
    loop.add_task("egg", first(chicken, egg));
    loop.add_task("farmer", sleeper(loop, log, "farmer@", {3}));
    INFO("chicken waited for egg, egg for chicken; farmer slept for 3 and finished");
    std::string said = "nothing: it returned as if all tasks were finished";
    try {
        run(loop);
    } catch (const Deadlock& deadlock) {
        said = deadlock.what();
    }
    CHECK_MESSAGE(said == "deadlock at 3: nothing can wake \"chicken\", \"egg\"",
                  "run() should throw Deadlock, with the names; it said ", said,
                  ". The unfinished tasks are in tasks_");
    INFO("then the test set egg and called run() again");
    egg.set();
    CHECK_NOTHROW_MESSAGE(run(loop), "now all of them can finish");
    CHECK(chicken.is_set());
}

TEST_CASE("07.2 the clock does not run backwards") {
    EventLoop loop;
    INFO("async_sleep(-1) was called and not awaited");
    std::string said = "nothing";
    try {
        static_cast<void>(loop.async_sleep(-1));
    } catch (const std::invalid_argument&) {
        said = "invalid_argument";
    }
    CHECK_MESSAGE(said == "invalid_argument",
                  "a negative delay is a mistake of the caller: async_sleep() should throw "
                  "std::invalid_argument at once; it threw ",
                  said);
    CHECK_NOTHROW_MESSAGE(static_cast<void>(loop.async_sleep(0)), "0 is a delay like any other");
}

TEST_CASE("07.2 the clock does not go beyond its end") {
    constexpr Time end = std::numeric_limits<Time>::max();
    auto task = [](EventLoop& loop, Log& log) -> Task<> {
        co_await loop.async_sleep(end - 1);
        co_await loop.async_sleep(1);
        log.add(loop.current_time() == end ? "at the end" : "elsewhere");
        try {
            co_await loop.async_sleep(1);
            log.add("and beyond it");
        } catch (const std::overflow_error&) {
            log.add("and not beyond it");
        }
    };
    EventLoop loop;
    Log log;
    loop.add_task("task", task(loop, log));
    INFO(
        "a task slept until the last moment that a Time can hold, and then for 1 more; that "
        "co_await should throw std::overflow_error. (An overflow of a signed number is undefined: "
        "compare before you add)");
    run(loop, log);
    CHECK_MESSAGE(log.text() == "at the end and not beyond it", "it was ", log.text());
}

/// Logs when it wakes, then waits forever: another resume() shows in the log.
Task<> nap(EventLoop& loop, Log& log, Time delay, Guest /*guest*/) {
    co_await loop.async_sleep(delay);
    log.add("woke@" + std::to_string(loop.current_time()));
    co_await std::suspend_always();
    log.add("resumed-again@" + std::to_string(loop.current_time()));
    co_await std::suspend_always();
}

TEST_CASE("07.2 a task that is destroyed while asleep is removed from the clock") {
    EventLoop loop;
    Log log;
    int alive = 0;
    INFO("one task slept until 3, another until 1000, and both were destroyed while asleep");
    std::optional<Task<>> first = nap(loop, log, 3, Guest(alive));
    std::optional<Task<>> second = nap(loop, log, 1'000, Guest(alive));
    first->start();
    second->start();
    first.reset();
    second.reset();
    REQUIRE(alive == 0);
    INFO(
        "then two of the same kind went to sleep, until 10 and until 11; their frames may be in "
        "the "
        "memory of the destroyed ones");
    Task<> third = nap(loop, log, 10, Guest(alive));
    Task<> fourth = nap(loop, log, 11, Guest(alive));
    third.start();
    fourth.start();
    run(loop, log);
    CHECK_MESSAGE(log.text() == "woke@10 woke@11",
                  "they should have been woken at 10 and at 11; "
                  "it was ",
                  log.text(),
                  ". The clock still has an entry for a destroyed frame, and resumes "
                  "the task that is in that memory now: ~Sleep must remove its entry");
    CHECK_MESSAGE(loop.current_time() == 11, "the clock should have stopped at 11; it shows ",
                  loop.current_time(), ": it waited for a destroyed task");
}

}  // namespace
