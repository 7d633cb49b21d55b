// EventLoop: the clock, the order, errors, deadlocks, destruction. See docs/07-simulated-clock.md.
#include "chapters/07-simulated-clock/event_loop.hpp"

#include <cstdlib>
#include <limits>
#include <memory>
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
    CHECK_THROWS_WITH_AS(static_cast<void>(loop.async_sleep(-1)),
                         "cannot sleep for -1: the clock does not run backwards",
                         std::invalid_argument);
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
        } catch (const std::overflow_error& error) {
            log.add(error.what());
        }
    };
    loop.add_task("task", task(loop, log));
    loop.run();
    CHECK(log.text() == "end cannot sleep for 1: the clock does not go that far");
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

TEST_CASE("07: an awaiter that a task waits for cannot be awaited by another one") {
    std::string error;
    EventLoop loop([&error](const std::string& task, const std::exception_ptr& failure) {
        try {
            std::rethrow_exception(failure);
        } catch (const std::logic_error& thrown) {
            error = task + ": " + thrown.what();
        }
    });
    auto sleep = loop.async_sleep(5);
    auto sleeper = [](auto& sleep) -> Task<> { co_await sleep; };
    loop.add_task("first", sleeper(sleep));
    loop.add_task("second", sleeper(sleep));
    loop.run();
    CHECK(error == "second: a task already waits for this sleep");
    CHECK_MESSAGE(loop.current_time() == 5, "the first task should have slept");
}

TEST_CASE("07: a task cannot run the loop that runs it") {
    std::string error;
    EventLoop loop([&error](const std::string& /*task*/, const std::exception_ptr& failure) {
        try {
            std::rethrow_exception(failure);
        } catch (const std::logic_error& thrown) {
            error = thrown.what();
        }
    });
    auto runs = [](EventLoop& loop) -> Task<> {
        loop.run();
        co_return;
    };
    loop.add_task("runs", runs(loop));
    loop.run();
    CHECK(error == "a task runs the event loop that runs it");
    INFO("afterwards the loop can run as usual");
    CHECK_NOTHROW(loop.run());
}

TEST_CASE("07: a task that destroys its own loop ends the program with a message") {
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

TEST_CASE("07: whatever leaves a task is reported, also what is no std::exception") {
    auto fails = [](bool with_number) -> Task<> {
        if (with_number) throw 42;
        throw std::runtime_error("no luck");
        co_return;
    };
    const std::string said = support::last_words([&fails] {
        EventLoop loop;
        loop.add_task("first", fails(true));
        loop.add_task("second", fails(false));
        loop.run();
        std::abort();
    });
    CHECK(said ==
          "task \"first\" failed: not with a std::exception\n"
          "task \"second\" failed: no luck\n");
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
