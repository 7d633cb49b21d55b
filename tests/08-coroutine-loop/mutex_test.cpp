// The asynchronous mutex: one task at a time, first come, first served, also when tasks are
// destroyed.
#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "chapters/08-coroutine-loop/mutex.hpp"
#include "tests/08-coroutine-loop/world.hpp"

using coroutines::Mutex;
using coroutines::Task;
using coroutines::TaskHandle;
using testing::World;
using namespace std::chrono_literals;

namespace {

using Log = std::vector<std::string>;

/// Locks the mutex, logs it, and keeps it locked for 10 ms.
Task<> work(World& world, Mutex& mutex, std::string name) {
    const Mutex::Lock lock = co_await mutex.acquire();
    world.note(name);
    co_await world.loop.async_sleep(10ms);
}

/// "a" to "d" want to work at the same time; some of them are cancelled at `when`.
Log cancel(std::vector<std::size_t> whom, coroutines::Duration when) {
    World world;
    Mutex mutex(world.loop);
    std::vector<TaskHandle> all;
    for (const char* name : {"a", "b", "c", "d"}) {
        all.push_back(world.loop.spawn(name, work(world, mutex, name)));
    }
    world.loop.spawn("cancel",
                     [](World& w, std::vector<TaskHandle>& tasks, std::vector<std::size_t> which,
                        coroutines::Duration delay) -> Task<> {
                         co_await w.loop.async_sleep(delay);
                         for (const std::size_t index : which) tasks[index].cancel();
                     }(world, all, std::move(whom), when));
    world.loop.run();
    return world.log;
}

}  // namespace

TEST_CASE("one task at a time, in the order in which they came") {
    CHECK(cancel({}, 1ms) == Log{"0: a", "10: b", "20: c", "30: d"});
}

TEST_CASE("a task destroyed while it holds or awaits a mutex does not stop the others") {
    CHECK(cancel({1}, 1ms) == Log{"0: a", "10: c", "20: d"});
    CHECK(cancel({0}, 1ms) == Log{"0: a", "1: b", "11: c", "21: d"});
    CHECK(cancel({0, 1}, 1ms) == Log{"0: a", "1: c", "11: d"});
    CHECK(cancel({0, 1, 2, 3}, 1ms) == Log{"0: a"});
}

TEST_CASE("a task destroyed after it got the mutex, but before it resumed, passes it on") {
    World world;
    Mutex mutex(world.loop);
    auto first = world.loop.spawn("a", work(world, mutex, "a"));
    auto second = world.loop.spawn("b", work(world, mutex, "b"));
    world.loop.spawn("c", work(world, mutex, "c"));
    world.loop.spawn("cancel", [](World& w, TaskHandle& owner, TaskHandle& next) -> Task<> {
        co_await w.loop.async_sleep(1ms);
        owner.cancel();  // in the next turn: first the owner goes, which makes the
                         // next one ready,
        next.cancel();   // and then that one, which has not been resumed
    }(world, first, second));
    world.loop.run();
    CHECK(world.log == Log{"0: a", "1: c"});
}
