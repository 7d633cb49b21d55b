// Exercise 07.3: at most so many tasks at a time.
#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "chapters/07-simulated-clock/event_loop.hpp"
#include "chapters/07-simulated-clock/exercises/semaphore.hpp"
#include "tests/07-simulated-clock/tools.hpp"
#include "tests/support/test.hpp"

namespace {

using simulated::Deadlock;
using simulated::Semaphore;
using tools::EventLoop;
using tools::Log;
using tools::Task;
using tools::Time;

/// How many tasks are inside now, how many there were at most, and in which order they entered.
struct Room {
    int inside = 0;
    int most = 0;
    Log log;
};

class Visit {
public:
    Visit(Room& room, const std::string& name) : room_(room) {
        room_.most = std::max(room_.most, ++room_.inside);
        room_.log.add(name);
    }
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;
    ~Visit() { --room_.inside; }

private:
    Room& room_;
};

void check(const Semaphore::Permit& permit) {
    CHECK_MESSAGE(permit, "acquire() returned an empty permit: it will never be given back");
}

/// Gets a permit and stays in the room for `stay`.
Task<> visitor(EventLoop& loop, Semaphore& semaphore, Room& room, std::string name, Time stay) {
    const Semaphore::Permit permit = co_await semaphore.acquire();
    check(permit);
    const Visit visit(room, name);
    co_await loop.async_sleep(stay);
}

/// Runs the loop. No task should wait forever.
void run(EventLoop& loop) {
    support::waiting_for("run() to return");
    try {
        loop.run();
    } catch (const Deadlock& deadlock) {
        FAIL("run() says: ", std::string(deadlock.what()),
             ". No task inside has a permit any more, so one was lost, or it came back and "
             "no waiter was scheduled, or the waiting tasks are in no queue");
    }
}

TEST_CASE("07.3 as many tasks are inside as there are permits, and never more") {
    EventLoop loop;
    Semaphore semaphore(loop, 3);
    Room room;
    for (int i = 0; i < 10; ++i) {
        loop.add_task("visitor " + std::to_string(i), visitor(loop, semaphore, room, "v", 2));
    }
    INFO("ten tasks came at 0, and each held one of 3 permits for 2");
    run(loop);
    CHECK_MESSAGE(room.most == 3, "3 should have been inside at the same time; at most it was ",
                  room.most, ". A task that enters must take a permit out of free_");
    CHECK_MESSAGE(loop.current_time() == 8,
                  "three at a time, ten should have taken until 8; the clock shows ",
                  loop.current_time());
}

TEST_CASE("07.3 first come, first served") {
    EventLoop loop;
    Semaphore semaphore(loop, 1);
    Room room;
    for (const char* name : {"a", "b", "c", "d"}) {
        loop.add_task(name, visitor(loop, semaphore, room, name, 1));
    }
    INFO("a, b, c and d came in this order, and each held the only permit for 1");
    run(loop);
    CHECK_MESSAGE(room.log.text() == "a b c d", "they should enter in that order; it was ",
                  room.log.text());
}

TEST_CASE("07.3 when all have left, all permits are free again") {
    auto later = [](EventLoop& loop, Semaphore& semaphore, Room& room) -> Task<> {
        co_await loop.async_sleep(10);
        const Semaphore::Permit first = co_await semaphore.acquire();
        const Semaphore::Permit second = co_await semaphore.acquire();
        check(second);
        room.log.add("both");
    };
    EventLoop loop;
    Semaphore semaphore(loop, 2);
    Room room;
    for (const char* name : {"a", "b", "c", "d"}) {
        loop.add_task(name, visitor(loop, semaphore, room, name, 1));
    }
    loop.add_task("later", later(loop, semaphore, room));
    INFO("four tasks shared 2 permits, and left; at 10 another task asked for both permits");
    run(loop);
    CHECK_MESSAGE(room.log.text() == "a b c d both", "it should get both; it was ",
                  room.log.text());
}

TEST_CASE("07.3 a later task cannot take a permit that belongs to a waiting task") {
    auto twice = [](EventLoop& loop, Semaphore& semaphore, Room& room) -> Task<> {
        co_await visitor(loop, semaphore, room, "a", 1);
        co_await visitor(loop, semaphore, room, "a-again", 1);
    };
    EventLoop loop;
    Semaphore semaphore(loop, 1);
    Room room;
    loop.add_task("a", twice(loop, semaphore, room));
    loop.add_task("b", visitor(loop, semaphore, room, "b", 1));
    INFO(
        "a had the only permit, and b waited for it. a gave it back and, before b could run, asked "
        "for one again");
    run(loop);
    CHECK_MESSAGE(room.most == 1, "there is one permit, and ", room.most, " were inside");
    CHECK_MESSAGE(room.log.text() == "a b a-again",
                  "b had waited longest, so the permit was b's "
                  "as soon as it came back; the order was ",
                  room.log.text(), ". Hand it over to b, do not count it as free");
}

TEST_CASE("07.3 giving a permit back resumes no task: the next one becomes ready") {
    auto gives_back = [](EventLoop& loop, Semaphore& semaphore, Log& log) -> Task<> {
        Semaphore::Permit permit = co_await semaphore.acquire();
        check(permit);
        co_await loop.async_sleep(1);
        permit.reset();
        log.add("gave-it-back");
    };
    EventLoop loop;
    Semaphore semaphore(loop, 1);
    Room room;
    loop.add_task("a", gives_back(loop, semaphore, room.log));
    loop.add_task("b", visitor(loop, semaphore, room, "b", 1));
    INFO("a had the only permit, and b waited for it. a gave it back and then logged that");
    run(loop);
    CHECK_MESSAGE(room.log.text() == "gave-it-back b", "b should enter later; it was ",
                  room.log.text(),
                  ". A resume() here runs b in the middle of a's statement: call schedule()");
}

TEST_CASE("07.3 a task that is destroyed while it waits leaves the queue") {
    EventLoop loop;
    Semaphore semaphore(loop, 1);
    Room room;
    std::optional<Task<>> impatient = visitor(loop, semaphore, room, "impatient", 1);
    auto has_it = [](EventLoop& loop, Semaphore& semaphore, auto& impatient) -> Task<> {
        const Semaphore::Permit permit = co_await semaphore.acquire();
        check(permit);
        co_await loop.async_sleep(1);
        impatient.reset();
    };
    Task<> holder = has_it(loop, semaphore, impatient);
    INFO(
        "one task had the only permit; a second one waited for it, and behind that c; the second "
        "was destroyed at 1, then the first gave its permit back");
    holder.start();
    impatient->start();
    loop.add_task("c", visitor(loop, semaphore, room, "c", 1));
    run(loop);
    CHECK_MESSAGE(room.log.text() == "c", "only c should have entered; it was ", room.log.text());
}

TEST_CASE("07.3 a task that owns a permit and is destroyed before it runs passes it on") {
    EventLoop loop;
    Semaphore semaphore(loop, 1);
    Room room;
    std::optional<Task<>> unlucky = visitor(loop, semaphore, room, "unlucky", 1);
    auto has_it = [](EventLoop& loop, Semaphore& semaphore, auto& unlucky) -> Task<> {
        Semaphore::Permit permit = co_await semaphore.acquire();
        check(permit);
        co_await loop.async_sleep(1);
        permit.reset();
        unlucky.reset();
    };
    Task<> holder = has_it(loop, semaphore, unlucky);
    INFO(
        "one task had the only permit; a second one waited for it, and behind that c; the first "
        "gave the permit back, so it was the second one's, and destroyed the second before it "
        "could run");
    holder.start();
    unlucky->start();
    loop.add_task("c", visitor(loop, semaphore, room, "c", 1));
    run(loop);
    CHECK_MESSAGE(room.log.text() == "c", "only c should have entered; it was ", room.log.text());
}

TEST_CASE("07.3 the permit goes back however the task ends") {
    EventLoop loop([](const std::string& /*task*/, const std::exception_ptr& /*error*/) {});
    Semaphore semaphore(loop, 1);
    Room room;
    auto fails = [](EventLoop& loop, Semaphore& semaphore) -> Task<> {
        const Semaphore::Permit permit = co_await semaphore.acquire();
        check(permit);
        co_await loop.async_sleep(1);
        throw std::runtime_error("in the middle");
    };
    INFO(
        "one task got the only permit and was destroyed; the next one got it and threw; then c "
        "came");
    {
        Task<> destroyed = visitor(loop, semaphore, room, "destroyed", 1'000);
        destroyed.start();
    }
    loop.add_task("fails", fails(loop, semaphore));
    loop.add_task("c", visitor(loop, semaphore, room, "c", 1));
    run(loop);
    CHECK(room.log.text() == "destroyed c");
}

}  // namespace
