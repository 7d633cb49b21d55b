// The loop itself: sleeping, spawning, cancelling, stopping, and how it ends.
// docs/08-coroutine-loop.md, "Readiness and time" and "Ownership and cancellation".
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <coroutine>
#include <csignal>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "tests/05-callback-loop/pair.hpp"
#include "tests/08-coroutine-loop/world.hpp"
#include "tests/support/last_words.hpp"
#include "tests/support/test.hpp"

using coroutines::Deadlock;
using coroutines::Duration;
using coroutines::EventLoop;
using coroutines::Task;
using coroutines::TaskHandle;
using testing::Trace;
using testing::World;
using namespace std::chrono_literals;

namespace {

using Log = std::vector<std::string>;

Task<> sleep_and_note(World& world, Duration delay, std::string name) {
    co_await world.loop.async_sleep(delay);
    world.note(name);
}

/// Sleeps for an hour, and counts as alive for as long as its frame exists.
Task<> sleep_traced(EventLoop& loop, Duration delay, int& alive) {
    const Trace trace(alive);
    co_await loop.async_sleep(delay);
}

Task<> fail(EventLoop& loop, const char* why) {
    co_await loop.async_sleep(1ms);
    throw std::runtime_error(why);
}

/// Waits for something that never happens.
Task<> wait_in_vain() {
    co_await std::suspend_always();
}

}  // namespace

TEST_SUITE("sleeping") {
    TEST_CASE("sleepers wake in order of time; with equal times, in order of arrival") {
        World world;
        world.loop.spawn("a", sleep_and_note(world, 20ms, "a"));
        world.loop.spawn("b", sleep_and_note(world, 10ms, "b"));
        world.loop.spawn("c", sleep_and_note(world, 20ms, "c"));
        world.loop.spawn("d", sleep_and_note(world, 0ms, "d"));
        world.loop.run();
        CHECK(world.log == Log{"0: d", "10: b", "20: a", "20: c"});
    }

    TEST_CASE("all sleepers that are due wake in one turn") {
        testing::Counting<callbacks::SimulatedClock> clock;
        EventLoop loop(clock);
        for (int i = 0; i < 100; ++i) loop.spawn("sleeper", coroutines::pass(loop, 5ms));
        loop.run();
        CHECK_MESSAGE(clock.waits < 10, "a hundred tasks slept for 5 ms, and the loop took ",
                      clock.waits, " turns to wake them");
    }

    TEST_CASE("async_sleep(0) lets all other ready tasks run first") {
        World world;
        const auto twice = [](World& w, std::string name) -> Task<> {
            w.note(name + " 1");
            co_await w.loop.async_sleep(0ms);
            w.note(name + " 2");
        };
        world.loop.spawn("a", twice(world, "a"));
        world.loop.spawn("b", twice(world, "b"));
        world.loop.run();
        CHECK(world.log == Log{"0: a 1", "0: b 1", "0: a 2", "0: b 2"});
    }

    TEST_CASE("the shortest and the longest time do not overflow") {
        World world;
        world.clock.advance(5ms);
        world.loop.spawn("past", sleep_and_note(world, Duration::min(), "past"));
        auto never = world.loop.spawn("never", sleep_and_note(world, Duration::max(), "never"));
        world.loop.spawn("end", [](EventLoop& loop, TaskHandle& other) -> Task<> {
            co_await loop.async_sleep(1h);
            other.cancel();
        }(world.loop, never));
        world.loop.run();
        CHECK(world.log == Log{"5: past"});
    }

    TEST_CASE("a sleep without end is a deadlock, on any clock, if nothing else can happen") {
        callbacks::SimulatedClock simulated;
        for (callbacks::Clock* clock :
             {static_cast<callbacks::Clock*>(&simulated), &callbacks::steady_clock()}) {
            EventLoop loop(*clock);
            loop.spawn("Sleeping Beauty", coroutines::pass(loop, Duration::max()));
            support::waiting_for(
                "run() to throw Deadlock: its only task sleeps for Duration::max(), that is "
                "forever");
            CHECK_THROWS_WITH_AS(loop.run(), "deadlock: nothing can wake \"Sleeping Beauty\"",
                                 Deadlock);
        }
    }

    TEST_CASE("a sleep without end, while another task waits for a descriptor: only that wakes") {
        World world;
        const testing::Pair pair;
        auto never = world.loop.spawn("never", sleep_and_note(world, Duration::max(), "never"));
        world.loop.spawn("reader", [](World& w, int fd, TaskHandle& other) -> Task<> {
            co_await w.loop.until_readable(fd);
            w.note("readable");
            other.cancel();
        }(world, pair.ours.fd(), never));
        world.loop.spawn("writer", [](World& w, int fd) -> Task<> {
            co_await w.loop.async_sleep(5ms);
            testing::write_all(fd, "x");
        }(world, pair.theirs.fd()));
        world.loop.run();
        CHECK(world.log == Log{"5: readable"});
    }

    TEST_CASE("on the steady clock no task wakes early") {
        EventLoop loop;
        const auto began = loop.now();
        Duration slept{};
        loop.spawn("sleeper",
                   [](EventLoop& l, coroutines::TimePoint from, Duration& took) -> Task<> {
                       co_await l.async_sleep(1500us);
                       took = l.now() - from;
                   }(loop, began, slept));
        loop.run();
        CHECK(slept >= 1500us);
    }
}

TEST_SUITE("spawning") {
    TEST_CASE("a spawned task starts in the next turn, in order") {
        World world;
        const auto child = [](World& w, std::string name) -> Task<> {
            w.note(name);
            co_return;
        };
        const auto parent = [](World& w, auto spawn_it) -> Task<> {
            w.loop.spawn("1", spawn_it(w, "child 1"));
            w.loop.spawn("2", spawn_it(w, "child 2"));
            w.note("parent");
            co_return;
        };
        world.loop.spawn("parent", parent(world, child));
        CHECK(world.log.empty());
        world.loop.run();
        CHECK(world.log == Log{"0: parent", "0: child 1", "0: child 2"});
    }

    TEST_CASE("a task that spawns without end does not starve the sleeping ones") {
        World world;
        struct Hydra {
            static Task<> head(World& w, int& heads) {
                if (++heads < 100) w.loop.spawn("head", head(w, heads));
                co_return;
            }
        };
        int heads = 0;
        world.loop.spawn("head", Hydra::head(world, heads));
        world.loop.spawn("sleeper", [](World& w, int& count) -> Task<> {
            co_await w.loop.async_sleep(0ms);
            CHECK_MESSAGE(count <= 2,
                          "a task that becomes ready in a turn should run in the next one");
        }(world, heads));
        world.loop.run();
        CHECK(heads == 100);
    }

    TEST_CASE("an exception is reported by name, and ends only that task") {
        World world;
        world.loop.spawn("bad", fail(world.loop, "it broke"));
        world.loop.spawn("good", sleep_and_note(world, 10ms, "good"));
        world.loop.run();
        CHECK(world.errors == Log{"bad: it broke"});
        CHECK(world.log == Log{"10: good"});
    }

    TEST_CASE("an exception that is not a std::exception") {
        World world;
        world.loop.spawn("odd", []() -> Task<> {
            throw 42;
            co_return;
        }());
        world.loop.run();
        CHECK(world.errors == Log{"odd: not a std::exception"});
    }

    TEST_CASE("an exception propagates through co_await, and can be caught on the way") {
        World world;
        world.loop.spawn("parent", [](World& w) -> Task<> {
            try {
                co_await fail(w.loop, "deep down");
            } catch (const std::runtime_error& error) {
                w.note(error.what());
            }
        }(world));
        world.loop.run();
        CHECK(world.log == Log{"1: deep down"});
        CHECK(world.errors.empty());
    }
}

TEST_SUITE("cancelling") {
    TEST_CASE("a sleeper that is cancelled is gone: frame, timer and all") {
        World world;
        int alive = 0;
        auto sleeper = world.loop.spawn("sleeper", sleep_traced(world.loop, 1h, alive));
        world.loop.spawn("canceller", [](World& w, TaskHandle& other, int& count) -> Task<> {
            co_await w.loop.async_sleep(1ms);
            CHECK(w.loop.sleeping() == 1);
            other.cancel();
            CHECK_MESSAGE(count == 1, "cancel() should take effect in the next turn, not at once");
            co_await w.loop.async_sleep(0ms);
            CHECK(count == 0);
            CHECK(w.loop.sleeping() == 0);
            CHECK(other.done());
        }(world, sleeper, alive));
        world.loop.run();
        CHECK(world.milliseconds() == 1);
    }

    TEST_CASE("cancelling a task that waits for a descriptor removes it from epoll") {
        World world;
        const testing::Pair pair;
        auto reader = world.loop.spawn("reader", [](EventLoop& loop, int fd) -> Task<> {
            co_await loop.until_readable(fd);
        }(world.loop, pair.ours.fd()));
        world.loop.spawn("canceller", [](World& w, TaskHandle& other, int fd) -> Task<> {
            co_await w.loop.async_sleep(1ms);
            CHECK(w.loop.waiting() == 1);
            other.cancel();
            co_await w.loop.async_sleep(0ms);
            CHECK(w.loop.waiting() == 0);
            co_await w.loop.until_writable(fd);  // EEXIST if it were still registered
        }(world, reader, pair.ours.fd()));
        world.loop.run();
        CHECK(world.errors.empty());
    }

    TEST_CASE("a task may cancel itself: it runs until it next suspends") {
        World world;
        int alive = 0;
        std::optional<TaskHandle> self;
        self.emplace(world.loop.spawn(
            "suicide", [](World& w, std::optional<TaskHandle>& me, int& count) -> Task<> {
                const Trace trace(count);
                me->cancel();
                w.note("still here");
                co_await w.loop.async_sleep(1ms);
                w.note("not here any more");
            }(world, self, alive)));
        world.loop.run();
        CHECK(world.log == Log{"0: still here"});
        CHECK(alive == 0);
        CHECK(self->done());
        CHECK(world.is_quiet());
    }

    TEST_CASE("a task can be cancelled before its start, twice, and when it is done") {
        World world;
        auto task = world.loop.spawn("task", sleep_and_note(world, 1ms, "never"));
        CHECK(!task.done());
        task.cancel();
        task.cancel();
        world.loop.run();
        CHECK(task.done());
        task.cancel();
        CHECK(world.log.empty());
        CHECK(world.is_quiet());
    }

    TEST_CASE("a task ends by cancelling the only other task") {
        World world;
        int alive = 0;
        auto other = world.loop.spawn("other", sleep_traced(world.loop, 1h, alive));
        world.loop.spawn("last", [](EventLoop& loop, TaskHandle& handle) -> Task<> {
            co_await loop.async_sleep(1ms);
            handle.cancel();
        }(world.loop, other));
        world.loop.run();
        CHECK_MESSAGE(alive == 0, "run() should not return before the cancelled task is destroyed");
        CHECK(other.done());
    }

    TEST_CASE("cancelling tasks that wait for nothing avoids a deadlock") {
        World world;
        auto stuck = world.loop.spawn("stuck", wait_in_vain());
        stuck.cancel();
        world.loop.run();
        CHECK(stuck.done());
    }

    TEST_CASE("a task is cancelled, and the loop is destroyed before the next turn") {
        int alive = 0;
        {
            World world;
            auto task = world.loop.spawn("task", sleep_traced(world.loop, 1h, alive));
            world.loop.spawn("end", [](EventLoop& loop, TaskHandle& handle) -> Task<> {
                co_await loop.async_sleep(0ms);
                handle.cancel();
                loop.stop();
            }(world.loop, task));
            world.loop.run();
            CHECK(alive == 1);
        }
        CHECK(alive == 0);
    }

    TEST_CASE("a destructor cancels a task while another task is being cancelled") {
        World world;
        struct CancelsAtTheEnd {
            explicit CancelsAtTheEnd(TaskHandle& other) : handle(other) {}
            CancelsAtTheEnd(const CancelsAtTheEnd&) = delete;
            CancelsAtTheEnd& operator=(const CancelsAtTheEnd&) = delete;
            ~CancelsAtTheEnd() { handle.cancel(); }
            TaskHandle& handle;
        };
        int alive = 0;
        auto second = world.loop.spawn("second", sleep_traced(world.loop, 1h, alive));
        auto first = world.loop.spawn("first", [](EventLoop& loop, TaskHandle& s) -> Task<> {
            const CancelsAtTheEnd guard(s);
            co_await loop.async_sleep(1h);
        }(world.loop, second));
        world.loop.spawn("third", [](EventLoop& loop, TaskHandle& s) -> Task<> {
            co_await loop.async_sleep(1ms);
            s.cancel();
        }(world.loop, first));
        world.loop.run();
        CHECK(alive == 0);
        CHECK(world.milliseconds() == 1);
    }

    TEST_CASE("a destructor cancels a task while the loop is being destroyed") {
        int alive = 0;
        std::optional<TaskHandle> second;
        {
            World world;
            world.loop.spawn("first", [](EventLoop& loop, auto& s) -> Task<> {
                const std::shared_ptr<void> guard(nullptr, [&s](void*) { s->cancel(); });
                co_await loop.async_sleep(1h);
            }(world.loop, second));
            second = world.loop.spawn("second", sleep_traced(world.loop, 1h, alive));
            world.loop.spawn("end", [](EventLoop& loop) -> Task<> {
                co_await loop.async_sleep(1ms);
                loop.stop();
            }(world.loop));
            world.loop.run();
            CHECK(alive == 1);
        }
        CHECK_MESSAGE(alive == 0,
                      "the loop is gone, and with it every task: also one that was cancelled by a "
                      "destructor meanwhile");
    }

    TEST_CASE("a handle that is assigned to itself still refers to its task") {
        World world;
        auto task = world.loop.spawn("task", sleep_and_note(world, 1ms, "never"));
        auto& same = task;
        task = std::move(same);
        CHECK(!task.done());
        task.cancel();
        world.loop.run();
        CHECK(task.done());
        CHECK(world.log.empty());
    }

    TEST_CASE("a handle that gets another task no longer refers to its first one") {
        World world;
        auto handle = world.loop.spawn("a", sleep_and_note(world, 1ms, "a"));
        handle = world.loop.spawn("b", sleep_and_note(world, 5ms, "b"));
        world.loop.spawn("look", [](World& w, TaskHandle& of_b) -> Task<> {
            co_await w.loop.async_sleep(2ms);
            CHECK_MESSAGE(!of_b.done(), "a has finished, but the handle refers to b");
        }(world, handle));
        world.loop.run();
        CHECK(handle.done());
        CHECK(world.log == Log{"1: a", "5: b"});
    }

    TEST_CASE("destroying a handle changes nothing; a moved handle still refers to its task") {
        World world;
        {
            world.loop.spawn("a", sleep_and_note(world, 1ms, "a"));
        }
        auto b = world.loop.spawn("b", sleep_and_note(world, 2ms, "b"));
        auto c = world.loop.spawn("c", sleep_and_note(world, 3ms, "c"));
        b = std::move(c);
        b.cancel();
        world.loop.run();
        CHECK(world.log == Log{"1: a", "2: b"});
    }
}

TEST_SUITE("the end") {
    TEST_CASE("stop() ends run() when the task suspends; the next run() continues") {
        World world;
        world.loop.spawn("a", [](World& w) -> Task<> {
            w.loop.stop();
            w.note("a goes on to its next wait");
            co_await w.loop.async_sleep(1ms);
            w.note("a");
        }(world));
        world.loop.spawn("b", sleep_and_note(world, 0ms, "b"));
        world.loop.run();
        CHECK(world.log == Log{"0: a goes on to its next wait"});
        world.loop.run();
        CHECK(world.log == Log{"0: a goes on to its next wait", "0: b", "1: a"});
    }

    TEST_CASE(
        "the loop is destroyed with tasks that have not started, sleep, watch, are ready or wait "
        "forever") {
        int alive = 0;
        {
            const testing::Pair pair;
            World world;
            const auto watch = [](EventLoop& loop, int fd, int& count) -> Task<> {
                const Trace trace(count);
                co_await loop.until_readable(fd);
            };
            const auto wait = [](int& count) -> Task<> {
                const Trace trace(count);
                co_await wait_in_vain();
            };
            world.loop.spawn("sleeps", sleep_traced(world.loop, 1h, alive));
            world.loop.spawn("watches", watch(world.loop, pair.ours.fd(), alive));
            world.loop.spawn("waits", wait(alive));
            world.loop.spawn("stops", [](EventLoop& loop) -> Task<> {
                co_await loop.async_sleep(1ms);
                loop.stop();
            }(world.loop));
            world.loop.spawn("is ready then", sleep_traced(world.loop, 1ms, alive));
            world.loop.run();
            world.loop.spawn("has not started", sleep_traced(world.loop, 1h, alive));
            CHECK(alive == 4);
        }
        CHECK(alive == 0);
    }

    TEST_CASE("every task is suspended and nothing can resume one: a Deadlock with their names") {
        World world;
        world.loop.spawn("hen", wait_in_vain());
        world.loop.spawn("egg", wait_in_vain());
        world.loop.spawn("farmer", sleep_and_note(world, 1ms, "goes"));
        CHECK_THROWS_WITH_AS(world.loop.run(), "deadlock: nothing can wake \"hen\", \"egg\"",
                             Deadlock);
        CHECK(world.log == Log{"1: goes"});
        CHECK_THROWS_AS(world.loop.run(), Deadlock);  // it can be run again, with the same result
    }

    TEST_CASE("a Deadlock of many tasks does not name them all") {
        World world;
        for (int i = 1; i <= 12; ++i) world.loop.spawn(std::to_string(i), wait_in_vain());
        CHECK_THROWS_WITH_AS(world.loop.run(),
                             "deadlock: nothing can wake \"1\", \"2\", \"3\", \"4\", \"5\", \"6\", "
                             "\"7\", \"8\", \"9\", \"10\" and 2 more",
                             Deadlock);
    }

    TEST_CASE("a task that runs its own loop gets an error") {
        World world;
        world.loop.spawn("task", [](World& w) -> Task<> {
            w.loop.run();
            co_return;
        }(world));
        world.loop.run();
        CHECK(world.errors == Log{"task: a task runs the event loop that runs it"});
    }

    TEST_CASE("a task that destroys its own loop ends the program with a message") {
        const std::string said = support::last_words([] {
            auto loop = std::make_unique<EventLoop>();
            loop->spawn("task", [](std::unique_ptr<EventLoop>& own) -> Task<> {
                own.reset();
                co_return;
            }(loop));
            loop->run();
        });
        CHECK(said == "a task destroys the event loop that runs it\n");
    }
}

TEST_SUITE("readiness") {
    TEST_CASE("while all tasks wait for a descriptor, the loop sleeps in the kernel") {
        testing::Counting<callbacks::SteadyClock> clock;
        EventLoop loop(clock);
        const testing::Pair pair;
        loop.spawn("reader", [](EventLoop& l, int fd) -> Task<> {
            co_await l.until_readable(fd);
        }(loop, pair.ours.fd()));
        std::thread peer([&pair] {
            std::this_thread::sleep_for(50ms);
            testing::write_all(pair.theirs.fd(), "x");
        });
        loop.run();
        peer.join();
        CHECK_MESSAGE(clock.waits <= 4, "one event came, after 50 ms, and the loop asked epoll ",
                      clock.waits, " times: it does not sleep");
    }

    TEST_CASE("all events of a batch are handled in one turn") {
        World world;
        const testing::Pair pair;
        const testing::Pair other;
        const auto wait = [](World& w, int fd, std::string name) -> Task<> {
            co_await w.loop.until_readable(fd);
            w.note(name);
        };
        world.loop.spawn("one", wait(world, pair.ours.fd(), "one"));
        world.loop.spawn("two", wait(world, other.ours.fd(), "two"));
        testing::write_all(pair.theirs.fd(), "x");
        testing::write_all(other.theirs.fd(), "x");
        world.loop.run();
        std::ranges::sort(world.log);
        CHECK(world.log == Log{"0: one", "0: two"});
    }

    TEST_CASE("until_readable() and until_writable() resume when the descriptor is ready") {
        World world;
        testing::Pair pair;
        world.loop.spawn("reader", [](World& w, int fd) -> Task<> {
            co_await w.loop.until_readable(fd);
            w.note(testing::read_all(fd));
        }(world, pair.ours.fd()));
        world.loop.spawn("writer", [](World& w, int fd) -> Task<> {
            co_await w.loop.async_sleep(5ms);
            co_await w.loop.until_writable(fd);
            testing::write_all(fd, "hello");
        }(world, pair.theirs.fd()));
        world.loop.run();
        CHECK(world.log == Log{"5: hello"});
        CHECK(world.loop.waiting() == 0);
    }

    TEST_CASE("two tasks wait for one descriptor: the second gets an error") {
        World world;
        const testing::Pair pair;
        const auto wait = [](EventLoop& loop, int fd) -> Task<> {
            co_await loop.until_readable(fd);
        };
        auto first = world.loop.spawn("first", wait(world.loop, pair.ours.fd()));
        world.loop.spawn("second", wait(world.loop, pair.ours.fd()));
        world.loop.spawn("end", [](EventLoop& loop, TaskHandle& handle) -> Task<> {
            co_await loop.async_sleep(1ms);
            CHECK(loop.waiting() == 1);
            handle.cancel();
        }(world.loop, first));
        world.loop.run();
        CHECK(world.errors == Log{"second: cannot watch a descriptor: File exists"});
    }

    TEST_CASE("an event that has made a task ready does not come again before the task resumes") {
        World world;
        const testing::Pair pair;
        const testing::Pair other;
        INFO(
            "two tasks become ready in one turn; the first one stops the loop, which is run again");
        world.loop.spawn("first", [](EventLoop& loop, int fd) -> Task<> {
            co_await loop.until_readable(fd);
            loop.stop();
        }(world.loop, pair.ours.fd()));
        world.loop.spawn("second", [](World& w, int fd) -> Task<> {
            co_await w.loop.until_readable(fd);
            w.note("resumed");
        }(world, other.ours.fd()));
        world.loop.spawn("peer", [](EventLoop& loop, int one, int two) -> Task<> {
            co_await loop.async_sleep(1ms);
            testing::write_all(one, "x");
            testing::write_all(two, "x");
        }(world.loop, pair.theirs.fd(), other.theirs.fd()));
        world.loop.run();
        CHECK(world.log.empty());
        CHECK_MESSAGE(world.loop.epoll().wait(0ms).empty(),
                      "the second task is in the ready queue, and epoll reports its descriptor "
                      "again: the task would be put into the queue twice");
        world.loop.run();
        CHECK(world.log == Log{"1: resumed"});
    }

    TEST_CASE("a failed registration leaves nothing behind, and other waits are as they were") {
        World world;
        testing::Pair pair;
        world.loop.spawn("first", [](World& w, int fd) -> Task<> {
            co_await w.loop.until_readable(fd);
            w.note("the first one is resumed");
        }(world, pair.ours.fd()));
        world.loop.spawn("second", [](World& w, testing::Pair& p) -> Task<> {
            try {
                co_await w.loop.until_writable(p.ours.fd());
            } catch (const std::system_error& error) {
                CHECK(error.code() == std::errc::file_exists);
            }
            CHECK_MESSAGE(w.loop.waiting() == 1, "one task waits, and the loop counts ",
                          w.loop.waiting());
            testing::write_all(p.theirs.fd(), "x");
        }(world, pair));
        world.loop.run();
        CHECK(world.log == Log{"0: the first one is resumed"});
        CHECK(world.is_quiet());
    }

    TEST_CASE("a disk file cannot be waited for") {
        World world;
        world.loop.spawn("file", [](EventLoop& loop) -> Task<> {
            const common::Descriptor file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
            co_await loop.until_readable(file.fd());
        }(world.loop));
        world.loop.run();
        CHECK(world.errors == Log{"file: cannot watch a descriptor: Operation not permitted"});
    }

    TEST_CASE("a ready task that another one destroys is not resumed") {
        World world;
        testing::Pair pair;
        int alive = 0;
        std::optional<TaskHandle> victim;
        const auto murderer = [](World& w, int fd, std::optional<Task<>>& other) -> Task<> {
            co_await w.loop.until_readable(fd);
            w.note("murderer");
            other.reset();  // a task that is suspended, and ready to be resumed
        };
        const auto innocent = [](World& w, int fd, int& count) -> Task<> {
            const Trace trace(count);
            co_await w.loop.until_readable(fd);
            w.note("victim");
        };
        std::optional<Task<>> task;
        world.loop.spawn("murderer", murderer(world, pair.ours.fd(), task));
        task.emplace(innocent(world, pair.theirs.fd(), alive));
        world.loop.spawn(
            "starter", [](World& w, std::optional<Task<>>& t, testing::Pair& p) -> Task<> {
                co_await w.loop.async_sleep(1ms);
                t->start();
                testing::write_all(p.theirs.fd(), "x");  // both become ready in one turn
                testing::write_all(p.ours.fd(), "x");
            }(world, task, pair));
        world.loop.run();
        CHECK(world.log == Log{"1: murderer"});
        CHECK(alive == 0);
        CHECK(world.loop.waiting() == 0);
    }
}
