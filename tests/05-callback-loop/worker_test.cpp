// The worker thread. To be run with -fsanitize=thread as well.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "chapters/05-callback-loop/event_loop.hpp"
#include "chapters/05-callback-loop/worker.hpp"

using callbacks::EventLoop;
using callbacks::Worker;

TEST_CASE("a job runs on the worker's thread, and its result arrives on the loop's") {
    EventLoop loop;
    Worker worker(loop);
    const auto here = std::this_thread::get_id();
    std::thread::id there;
    int result = 0;
    worker.run(
        [&there] {
            there = std::this_thread::get_id();
            return 42;
        },
        [&](std::future<int> done) {
            CHECK(std::this_thread::get_id() == here);
            result = done.get();
        });
    loop.run();  // waits for it, although nothing else could happen
    CHECK(result == 42);
    CHECK(there != here);
    CHECK(there != std::thread::id());
}

TEST_CASE("jobs are done in order, one at a time") {
    EventLoop loop;
    Worker worker(loop);
    std::vector<int> done;
    for (int i = 0; i < 1000; ++i) {
        worker.run([i] { return i; }, [&](std::future<int> job) { done.push_back(job.get()); });
    }
    loop.run();
    REQUIRE(done.size() == 1000);
    for (int i = 0; i < 1000; ++i) CHECK(done[static_cast<std::size_t>(i)] == i);
}

TEST_CASE("what a job throws is thrown by get()") {
    EventLoop loop;
    Worker worker(loop);
    worker.run([] { throw std::runtime_error("no such host"); },
               [&](std::future<void> done) { CHECK_THROWS_WITH(done.get(), "no such host"); });
    loop.run();
}

TEST_CASE("the loop continues while the worker is blocked") {
    EventLoop loop;
    Worker worker(loop);
    std::promise<void> released;
    std::future<void> blocked = released.get_future();
    bool done = false;
    worker.run([&] { blocked.wait(); }, [&](const std::future<void>&) { done = true; });
    int turns = 0;
    std::function<void()> again = [&] {
        if (++turns == 100) return released.set_value();  // the job could not go on before
        loop.call_soon(again);
    };
    loop.call_soon(again);
    loop.run();
    CHECK(turns == 100);
    CHECK(done);
}

TEST_CASE("what a job and its callback own is destroyed on the loop's thread") {
    struct Owned {
        std::thread::id destroyed_by;
        std::thread::id* report;
        explicit Owned(std::thread::id* report) : report(report) {}
        ~Owned() { *report = std::this_thread::get_id(); }
        Owned(const Owned&) = delete;
        Owned& operator=(const Owned&) = delete;
    };
    EventLoop loop;
    Worker worker(loop);
    std::vector<std::thread::id> destroyed_by(2000);
    for (std::size_t i = 0; i < destroyed_by.size();
         i += 2) {  // many: it is a race that is looked for
        worker.run([owned = std::make_shared<Owned>(&destroyed_by[i])] {},
                   [owned = std::make_shared<Owned>(&destroyed_by[i + 1])](std::future<void> done) {
                       done.get();
                   });
    }
    loop.run();
    CHECK(destroyed_by == std::vector(2000, std::this_thread::get_id()));
}

TEST_CASE("a destroyed worker calls no `then`, not even that of a job that is done") {
    EventLoop loop;
    int calls = 0;
    std::promise<void> done;
    auto worker = std::make_unique<Worker>(loop);
    worker->run([&] { done.set_value(); }, [&](const std::future<void>&) { ++calls; });
    done.get_future().wait();
    INFO("the job is done; the worker is destroyed before the loop could call `then`");
    worker.reset();
    loop.run();  // returns: nothing is waited for
    CHECK(calls == 0);
}

TEST_CASE("a destroyed worker finishes its current job and drops the others") {
    EventLoop loop;
    std::atomic<int> begun = 0;
    std::atomic<int> ended = 0;
    int reported = 0;
    std::promise<void> begin;
    {
        Worker worker(loop);
        for (int i = 0; i < 3; ++i) {
            worker.run(
                [&] {
                    if (++begun == 1) begin.set_value();
                    ++ended;
                },
                [&](const std::future<void>&) { ++reported; });
        }
        begin.get_future().wait();
    }
    CHECK(begun == ended);
    loop.run();  // returns: nothing that was dropped is waited for
    CHECK(reported == 0);
}
