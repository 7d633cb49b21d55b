// EventLoop: the clock, the order, errors, deadlocks, destruction. See docs/07-simulated-clock.md.
#include "chapters/07-simulated-clock/event_loop.hpp"

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "chapters/07-simulated-clock/event.hpp"
#include "chapters/07-simulated-clock/when_all.hpp"
#include "tests/07-simulated-clock/tools.hpp"
#include "tests/support/last_words.hpp"

namespace {

using simulated::Deadlock;
using simulated::Event;
using tools::EventLoop;
using tools::Guest;
using tools::Log;
using tools::sleeper;
using tools::Task;
using tools::Time;

constexpr Time end_of_time = std::numeric_limits<Time>::max();

Task<> wait_for(Event& event, Log& log, std::string name) {
    co_await event.wait();
    log.add(name);
}

Task<> fail_after(EventLoop& loop, Time delay, std::string what) {
    co_await loop.async_sleep(delay);
    throw std::runtime_error(what);
}

/// Holds a guest while it sleeps.
Task<> sleep_with(EventLoop& loop, Time delay, Guest /*guest*/) {
    co_await loop.async_sleep(delay);
}

TEST_CASE("07: the example") {
    EventLoop loop;
    Log log;
    loop.add_task("Task1", sleeper(loop, log, "1@", {2}));
    loop.add_task("Task2", sleeper(loop, log, "2@", {1}));
    loop.run();
    CHECK(log.text() == "1@0 2@0 2@1 1@2");
    CHECK(loop.current_time() == 2);
}

TEST_CASE("07: a loop without tasks returns at once") {
    EventLoop loop;
    loop.run();
    CHECK(loop.current_time() == 0);
}

TEST_CASE("07: adding a task does not run it") {
    EventLoop loop;
    Log log;
    loop.add_task("a", sleeper(loop, log, "a", {}));
    CHECK(log.text() == "");
    loop.run();
    CHECK(log.text() == "a0");
}

TEST_CASE("07: tasks that wake at the same time run in the order of going to sleep") {
    EventLoop loop;
    Log log;
    loop.add_task("a", sleeper(loop, log, "a", {3, 2}));  // at 3, then sleeps until 5
    loop.add_task("b", sleeper(loop, log, "b", {5}));     // sleeps until 5 since 0
    loop.add_task("c", sleeper(loop, log, "c", {1, 4}));  // since 1
    loop.run();
    CHECK(log.text() == "a0 b0 c0 c1 a3 b5 c5 a5");
}

TEST_CASE("07: a sleep of 0 lets all ready tasks run first, and takes no time") {
    EventLoop loop;
    Log log;
    loop.add_task("a", sleeper(loop, log, "a", {0, 0}));
    loop.add_task("b", sleeper(loop, log, "b", {0}));
    loop.add_task("c", sleeper(loop, log, "c", {}));
    loop.run();
    CHECK(log.text() == "a0 b0 c0 a0 b0 a0");
}

TEST_CASE("07: random tasks wake in the order of (wake time, going to sleep)") {
    // The model: a list that is searched for the earliest entry.
    struct Asleep {
        Time wake_at;
        int order;
        int task;
    };
    unsigned dice = 7;
    auto roll = [&dice](unsigned sides) {
        dice = dice * 1'103'515'245 + 12'345;
        return static_cast<Time>((dice >> 16) % sides);
    };
    for (const unsigned longest : {1U, 2U, 5U, 100U, 40'000U}) {
        constexpr int tasks = 50;
        std::vector<std::vector<Time>> delays(tasks);
        for (auto& row : delays) {
            for (Time count = roll(10); count > 0; --count)
                row.push_back(roll(longest) << roll(30));
        }
        Log expected;
        std::vector<Asleep> asleep;
        std::vector<std::size_t> next(tasks, 0);
        int order = 0;
        auto step = [&](int task, Time now) {
            expected.add(std::to_string(task) + "@" + std::to_string(now));
            if (next[task] == delays[task].size()) return;
            asleep.push_back({now + delays[task][next[task]++], order++, task});
        };
        for (int task = 0; task < tasks; ++task) step(task, 0);
        while (!asleep.empty()) {
            std::size_t first = 0;
            for (std::size_t i = 1; i < asleep.size(); ++i) {
                if (std::pair(asleep[i].wake_at, asleep[i].order) <
                    std::pair(asleep[first].wake_at, asleep[first].order)) {
                    first = i;
                }
            }
            const Asleep woken = asleep[first];
            asleep.erase(asleep.begin() + static_cast<std::ptrdiff_t>(first));
            step(woken.task, woken.wake_at);
        }
        EventLoop loop;
        Log log;
        for (int task = 0; task < tasks; ++task) {
            loop.add_task("t", sleeper(loop, log, std::to_string(task) + "@", delays[task]));
        }
        loop.run();
        CHECK(log.text() == expected.text());
    }
}

TEST_CASE("07: a negative delay is an error and does not move the clock") {
    EventLoop loop;
    CHECK_THROWS_AS(static_cast<void>(loop.async_sleep(-1)), std::invalid_argument);
    CHECK(loop.current_time() == 0);
}

TEST_CASE("07: the clock does not overflow") {
    EventLoop loop;
    Log log;
    auto task = [](EventLoop& loop, Log& log) -> Task<> {
        co_await loop.async_sleep(end_of_time - 1);
        co_await loop.async_sleep(1);
        log.add(loop.current_time() == end_of_time ? "end" : "elsewhere");
        co_await loop.async_sleep(0);
        try {
            co_await loop.async_sleep(1);
            log.add("continued");
        } catch (const std::overflow_error&) {
            log.add("overflow_error");
        }
    };
    loop.add_task("task", task(loop, log));
    loop.run();
    CHECK(log.text() == "end overflow_error");
}

TEST_CASE("07: the longest sleep ends at the end of the clock, or not at all") {
    EventLoop loop;
    Log log;
    auto task = [](EventLoop& loop, Log& log, Time start) -> Task<> {
        co_await loop.async_sleep(start);
        try {
            co_await loop.async_sleep(end_of_time);
            log.add("woke" + std::to_string(loop.current_time() == end_of_time));
        } catch (const std::overflow_error&) {
            log.add("overflow_error" + std::to_string(loop.current_time()));
        }
    };
    loop.add_task("at 0", task(loop, log, 0));
    loop.add_task("at 1", task(loop, log, 1));
    loop.run();
    CHECK(log.text() == "overflow_error1 woke1");
}

/// Awaits `awaiter`, and logs `name`, or that the co_await was refused.
template <typename Awaiter>
Task<> await_and_log(Awaiter& awaiter, Log& log, std::string name) {
    try {
        co_await awaiter;
        log.add(name);
    } catch (const std::logic_error&) {
        log.add(name + ":logic_error");
    }
}

TEST_CASE("07: one sleep is not for two tasks: the second co_await is an error") {
    EventLoop loop;
    Log log;
    auto sleep = loop.async_sleep(2);
    auto third = [](EventLoop& loop, auto& sleep, Log& log) -> Task<> {
        co_await loop.async_sleep(2);
        co_await await_and_log(sleep, log, "c");
    };
    // It wakes at 2, before "a" has run, which is ready by then.
    Task<> c = third(loop, sleep, log);
    c.start();
    loop.add_task("a", await_and_log(sleep, log, "a"));
    loop.add_task("b", await_and_log(sleep, log, "b"));
    loop.run();
    CHECK(log.text() == "b:logic_error c:logic_error a");
    CHECK(loop.current_time() == 2);
}

TEST_CASE("07: a sleep that failed can be awaited again") {
    EventLoop loop;
    Log log;
    auto task = [](EventLoop& loop, Log& log) -> Task<> {
        co_await loop.async_sleep(1);
        auto sleep = loop.async_sleep(end_of_time);
        for (int i = 0; i < 2; ++i) {
            try {
                co_await sleep;
            } catch (const std::overflow_error&) {
                log.add("overflow_error");
            }
        }
    };
    loop.add_task("task", task(loop, log));
    loop.run();
    CHECK(log.text() == "overflow_error overflow_error");
}

TEST_CASE("07: one awaiter of an event is not for two tasks, but for one wait after another") {
    EventLoop loop;
    Log log;
    Event event(loop);
    auto wait = event.wait();
    loop.add_task("a", await_and_log(wait, log, "a"));
    loop.add_task("b", await_and_log(wait, log, "b"));
    CHECK_THROWS_AS(loop.run(), Deadlock);
    event.set();
    loop.run();
    loop.add_task("c", await_and_log(wait, log, "c"));
    loop.run();
    CHECK(log.text() == "b:logic_error a c");
}

TEST_CASE("07: a task cannot run its own loop, and may run another one") {
    EventLoop loop;
    Log log;
    auto nests = [](EventLoop& loop, Log& log) -> Task<> {
        CHECK_THROWS_AS(loop.run(), std::logic_error);
        EventLoop other;
        other.add_task("inner", sleeper(other, log, "inner", {5}));
        other.run();
        log.add("outer" + std::to_string(loop.current_time()));
        co_return;
    };
    loop.add_task("nests", nests(loop, log));
    loop.add_task("other", sleeper(loop, log, "other", {1}));
    loop.run();
    CHECK(log.text() == "inner0 inner5 outer0 other0 other1");
}

TEST_CASE("07: a task that destroys the loop it runs on ends the program with a sentence") {
    const std::string said = support::last_words([] {
        auto loop = std::make_unique<EventLoop>();
        auto destroys = [](std::unique_ptr<EventLoop>& own) -> Task<> {
            own.reset();
            co_return;
        };
        loop->add_task("destroys", destroys(loop));
        loop->run();
    });
    CHECK(said == "a task destroys the event loop that runs it\n");
}

TEST_CASE("07: the same awaiter can be awaited twice") {
    EventLoop loop;
    auto task = [](EventLoop& loop) -> Task<> {
        auto sleep = loop.async_sleep(2);
        co_await sleep;
        co_await sleep;
    };
    loop.add_task("task", task(loop));
    loop.run();
    CHECK(loop.current_time() == 4);
}

TEST_CASE("07: a task may add tasks, which run behind all ready ones") {
    EventLoop loop;
    Log log;
    auto parent = [](EventLoop& loop, Log& log) -> Task<> {
        loop.add_task("child", sleeper(loop, log, "child", {}));
        log.add("parent");
        co_return;
    };
    loop.add_task("parent", parent(loop, log));
    loop.add_task("other", sleeper(loop, log, "other", {}));
    loop.run();
    CHECK(log.text() == "parent other0 child0");
}

TEST_CASE("07: an exception that leaves an added task is reported with the task's name") {
    Log errors;
    EventLoop loop([&errors](const std::string& task, const std::exception_ptr& error) {
        try {
            std::rethrow_exception(error);
        } catch (const std::exception& exception) {
            errors.add(task + ": " + exception.what());
        }
    });
    Log log;
    loop.add_task("bad", fail_after(loop, 1, "broken"));
    loop.add_task("good", sleeper(loop, log, "good", {2}));
    loop.run();
    CHECK(errors.text() == "bad: broken");
    CHECK_MESSAGE(log.text() == "good0 good2", "only the failed task should end");
}

TEST_CASE("07: by default errors are printed, whatever was thrown, and the other tasks go on") {
    const std::string said = support::last_words([] {
        EventLoop loop;
        Log log;
        auto fails = [](EventLoop& loop) -> Task<> {
            co_await loop.async_sleep(1);
            throw 42;
        };
        loop.add_task("forty-two", fails(loop));
        loop.add_task("exception", fail_after(loop, 2, "broken"));
        loop.add_task("good", sleeper(loop, log, "good", {3}));
        loop.run();
        std::fprintf(stderr, "%s\n", log.text().c_str());
        std::abort();
    });
    CHECK(said ==
          "task \"forty-two\" failed: not with a std::exception\n"
          "task \"exception\" failed: broken\n"
          "good0 good3\n");
}

TEST_CASE("07: a loop can be run again: the clock goes on from where it was") {
    EventLoop loop;
    Log log;
    loop.add_task("a", sleeper(loop, log, "a", {3}));
    loop.run();
    loop.add_task("b", sleeper(loop, log, "b", {4}));
    loop.run();
    CHECK(log.text() == "a0 a3 b3 b7");
}

TEST_CASE("07: after a deadlock, and after a failed task, the loop still runs what is added") {
    EventLoop loop([](const std::string& /*task*/, const std::exception_ptr& /*error*/) {});
    Event never(loop);
    Log log;
    loop.add_task("waits", wait_for(never, log, "woken"));
    loop.add_task("fails", fail_after(loop, 1, "broken"));
    CHECK_THROWS_WITH_AS(loop.run(), "deadlock at 1: nothing can wake \"waits\"", Deadlock);
    loop.add_task("late", sleeper(loop, log, "late", {2}));
    CHECK_THROWS_WITH_AS(loop.run(), "deadlock at 3: nothing can wake \"waits\"", Deadlock);
    CHECK(log.text() == "late1 late3");
}

TEST_CASE("07: a deadlock of ten tasks names all, one of eleven says how many more there are") {
    for (const int tasks : {10, 11}) {
        EventLoop loop;
        Event never(loop);
        Log log;
        std::string expected = "deadlock at 0: nothing can wake ";
        for (int i = 0; i < tasks; ++i) {
            const std::string name = std::to_string(i);
            loop.add_task(name, wait_for(never, log, "woken"));
            if (i < 10) expected += (i == 0 ? "\"" : ", \"") + name + '"';
        }
        if (tasks > 10) expected += " and 1 more";
        CHECK_THROWS_WITH_AS(loop.run(), expected.c_str(), Deadlock);
    }
}

TEST_CASE("07: while a loop is destroyed, its tasks' destructors may still use it") {
    struct AtEnd {
        explicit AtEnd(std::function<void()> what) : run(std::move(what)) {}
        AtEnd(const AtEnd&) = delete;
        AtEnd& operator=(const AtEnd&) = delete;
        ~AtEnd() { run(); }
        std::function<void()> run;
    };
    int alive = 0;
    Log log;
    {
        EventLoop loop;
        std::optional<Task<>> asleep = sleep_with(loop, 10, Guest(alive));
        asleep->start();
        auto owner = [](EventLoop& loop, Log& log, std::optional<Task<>>& asleep) -> Task<> {
            const AtEnd at_end([&] {
                asleep.reset();
                loop.add_task("late", sleeper(loop, log, "late", {1}));
            });
            co_await loop.async_sleep(20);
        };
        auto stops = []() -> Task<> { co_await std::suspend_always(); };
        loop.add_task("owner", owner(loop, log, asleep));
        loop.add_task("stops", stops());
        Event never(loop);
        auto killer = [](EventLoop& loop, Event& never) -> Task<> {
            co_await loop.async_sleep(1);
            co_await never.wait();
        };
        loop.add_task("killer", killer(loop, never));
        // The clock has not reached 20 when the loop is destroyed.
        auto watched = owner(loop, log, asleep);
        watched.start();
    }
    CHECK(alive == 0);
    CHECK(log.text() == "");
}

TEST_CASE("07: a deadlock names the waiting tasks") {
    EventLoop loop;
    Event chicken(loop);
    Event egg(loop);
    auto first = [](Event& wait, Event& set) -> Task<> {
        co_await wait.wait();
        set.set();
    };
    loop.add_task("chicken", first(egg, chicken));
    loop.add_task("egg", first(chicken, egg));
    Log log;
    loop.add_task("farmer", sleeper(loop, log, "farmer", {3}));
    CHECK_THROWS_WITH_AS(loop.run(), "deadlock at 3: nothing can wake \"chicken\", \"egg\"",
                         Deadlock);
    egg.set();
    loop.run();  // woken from outside: now all tasks can finish
}

TEST_CASE("07: a deadlock of many tasks names the first ones") {
    EventLoop loop;
    Event never(loop);
    Log log;
    for (int i = 0; i < 1'000; ++i) {
        loop.add_task("t" + std::to_string(i), wait_for(never, log, "woken"));
    }
    try {
        loop.run();
        FAIL("1,000 tasks wait for an event that is never set: run() should throw Deadlock");
    } catch (const Deadlock& deadlock) {
        const std::string what = deadlock.what();
        CHECK(what.find("\"t9\" and 990 more") != std::string::npos);
    }
}

TEST_CASE("07: an event wakes its waiting tasks in order, and later ones do not wait") {
    EventLoop loop;
    Event event(loop);
    Log log;
    auto setter = [](EventLoop& loop, Event& event, Log& log) -> Task<> {
        co_await loop.async_sleep(1);
        event.set();
        log.add("set");
    };
    loop.add_task("a", wait_for(event, log, "a"));
    loop.add_task("b", wait_for(event, log, "b"));
    loop.add_task("setter", setter(loop, event, log));
    loop.run();
    loop.add_task("late", wait_for(event, log, "late"));
    loop.run();
    CHECK(log.text() == "set a b late");
    CHECK(event.is_set());
    CHECK(loop.current_time() == 1);
}

TEST_CASE(
    "07: a task destroyed while it sleeps does not wake, and the clock does not wait for it") {
    EventLoop loop;
    int alive = 0;
    Task<> task = sleep_with(loop, 1'000, Guest(alive));
    task.start();
    CHECK(alive == 1);
    Log log;
    loop.add_task("other", sleeper(loop, log, "other", {5}));
    {
        const Task<> gone = std::move(task);
    }
    CHECK(alive == 0);
    loop.run();
    CHECK(loop.current_time() == 5);
}

TEST_CASE("07: a ready task that is destroyed before its turn does not run") {
    EventLoop loop;
    Event event(loop);
    Log log;
    Task<> waits = wait_for(event, log, "event");
    Task<> sleeps = sleeper(loop, log, "sleeps", {1});
    auto kill = [](EventLoop& loop, Event& event, Task<>& waits, Task<>& sleeps) -> Task<> {
        co_await loop.async_sleep(1);  // `sleeps` wakes now, too, but later: it is ready
        event.set();                   // and so is `waits`
        {
            const Task<> gone = std::move(waits);
        }
        {
            const Task<> gone = std::move(sleeps);
        }
    };
    Task<> killer = kill(loop, event, waits, sleeps);
    killer.start();
    waits.start();
    sleeps.start();
    loop.run();
    CHECK(killer.done());
    CHECK(log.text() == "sleeps0");
}

TEST_CASE("07: a hundred thousand destroyed sleepers leave nothing behind") {
    EventLoop loop;
    int alive = 0;
    for (int i = 0; i < tools::many / 10; ++i) {
        Task<> task = sleep_with(loop, 1'000'000 + i, Guest(alive));
        task.start();
    }
    CHECK(alive == 0);
    loop.run();
    CHECK_MESSAGE(loop.current_time() == 0,
                  "no task sleeps any more: the clock has no reason to move");
}

TEST_CASE("07: sleepers wake in order after others were destroyed") {
    EventLoop loop;
    Log log;
    int alive = 0;
    std::vector<Task<>> doomed;
    for (int i = 0; i < 100; ++i) {
        doomed.push_back(sleep_with(loop, i % 10, Guest(alive)));
        doomed.back().start();
        if (i % 10 == 0) {
            loop.add_task("t", sleeper(loop, log, std::to_string(i) + "@", {9 - i / 10, 100}));
        }
    }
    auto killer = [](EventLoop& loop, std::vector<Task<>>& doomed) -> Task<> {
        co_await loop.async_sleep(4);
        doomed.clear();
    };
    loop.add_task("killer", killer(loop, doomed));
    loop.run();
    CHECK(alive == 0);
    CHECK(log.text() ==
          "0@0 10@0 20@0 30@0 40@0 50@0 60@0 70@0 80@0 90@0 "
          "90@0 80@1 70@2 60@3 50@4 40@5 30@6 20@7 10@8 0@9 "
          "90@100 80@101 70@102 60@103 50@104 40@105 30@106 20@107 10@108 0@109");
    CHECK(loop.current_time() == 109);
}

TEST_CASE("07: destroying a loop destroys its tasks, wherever they wait") {
    int alive = 0;
    {
        EventLoop loop;
        Event never(loop);
        auto waits = [](Event& event, Guest) -> Task<> { co_await event.wait(); };
        auto nested = [](auto& waits, Event& event, Guest guest) -> Task<> {
            co_await waits(event, std::move(guest));
        };
        auto all = [](auto& waits, Event& event, int& alive) -> Task<> {
            std::vector<Task<>> tasks;
            for (int i = 0; i < 3; ++i) tasks.push_back(waits(event, Guest(alive)));
            co_await simulated::when_all(std::move(tasks));
        };
        loop.add_task("waits", waits(never, Guest(alive)));
        loop.add_task("nested", nested(waits, never, Guest(alive)));
        loop.add_task("when_all", all(waits, never, alive));
        CHECK_THROWS_AS(loop.run(), Deadlock);
        loop.add_task("not started", waits(never, Guest(alive)));
        CHECK(alive == 1 + 1 + 3 + 1);
    }
    CHECK(alive == 0);
}

/// A task with every kind of suspension point.
Task<int> everything(EventLoop& loop, Event& event, int& alive) {
    const Guest guest(alive);
    co_await loop.async_sleep(1);
    co_await loop.async_sleep(0);
    auto child = [](EventLoop& loop, int& alive) -> Task<int> {
        const Guest guest(alive);
        co_await loop.async_sleep(1);
        co_return 1;
    };
    int sum = co_await child(loop, alive);
    co_await event.wait();
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(child(loop, alive));
    for (const int one : co_await simulated::when_all(std::move(tasks))) sum += one;
    std::vector<Task<int>> bad;
    bad.push_back(child(loop, alive));
    auto fails = [](EventLoop& loop) -> Task<int> {
        co_await loop.async_sleep(1);
        throw std::runtime_error("bad");
    };
    bad.push_back(fails(loop));
    bad.push_back(child(loop, alive));
    try {
        co_await simulated::when_all(std::move(bad));
    } catch (const std::runtime_error&) {
        sum += 10;
    }
    co_await loop.async_sleep(2);
    co_return sum;
}

TEST_CASE("07: a task can be destroyed wherever it is suspended") {
    // One run per moment: the task is destroyed after `steps` turns of another task.
    int finished_after = -1;
    for (int steps = 0; finished_after < 0; ++steps) {
        REQUIRE(steps < 100);
        int alive = 0;
        EventLoop loop;
        Event event(loop);
        auto setter = [](EventLoop& loop, Event& event) -> Task<> {
            co_await loop.async_sleep(3);
            event.set();
        };
        loop.add_task("setter", setter(loop, event));
        std::vector<Task<int>> victim;
        victim.push_back(everything(loop, event, alive));
        if (steps > 0) victim.front().start();
        auto killer = [](EventLoop& loop, std::vector<Task<int>>& victim, int turns) -> Task<> {
            // Two turns at the same time, then one tick: the task is destroyed before and after
            // the tasks that wake at that time.
            for (int turn = 1; turn < turns; ++turn)
                co_await loop.async_sleep(turn % 3 == 0 ? 1 : 0);
            if (!victim.front().done()) victim.clear();
        };
        loop.add_task("killer", killer(loop, victim, steps));
        loop.run();
        CAPTURE(steps);
        if (!victim.empty()) {
            finished_after = steps;
            CHECK(victim.front().result() == 1 + 3 + 10);
        }
        CHECK(alive == 0);
    }
    CHECK(finished_after > 15);
}

}  // namespace
