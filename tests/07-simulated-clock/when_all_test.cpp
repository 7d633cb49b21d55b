// when_all: results, errors, cancellation. See docs/07-simulated-clock.md.
#include "chapters/07-simulated-clock/when_all.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "chapters/07-simulated-clock/event.hpp"
#include "tests/07-simulated-clock/tools.hpp"

namespace {

using simulated::when_all;
using tools::EventLoop;
using tools::Guest;
using tools::Log;
using tools::run_alone;
using tools::Task;
using tools::Time;

/// Sleeps and returns its delay; logs that it starts. A negative result is thrown.
Task<int> worker(EventLoop& loop, Log& log, Time delay, int result, int& alive) {
    const Guest guest(alive);
    log.add("start" + std::to_string(result));
    if (delay > 0) co_await loop.async_sleep(delay);
    if (result < 0) throw std::runtime_error("worker " + std::to_string(result));
    log.add("end" + std::to_string(result));
    co_return result;
}

struct Work {
    Time delay;
    int result;
};

/// Runs the workers with when_all, and logs the results or the error.
Task<> run_workers(EventLoop& loop, Log& log, std::vector<Work> works, int& alive) {
    std::vector<Task<int>> tasks;
    for (const Work& work : works) {
        tasks.push_back(worker(loop, log, work.delay, work.result, alive));
    }
    try {
        for (const int result : co_await when_all(std::move(tasks)))
            log.add(std::to_string(result));
    } catch (const std::runtime_error& error) {
        log.add(error.what());
        log.add("alive:" + std::to_string(alive));
    }
    log.add("at" + std::to_string(loop.current_time()));
}

std::string log_of(std::vector<Work> works) {
    Log log;
    int alive = 0;
    run_alone([&](EventLoop& loop) { return run_workers(loop, log, std::move(works), alive); });
    CHECK(alive == 0);
    return log.text();
}

TEST_CASE("07: when_all returns the results in the order of the tasks, not of their ends") {
    CHECK(log_of({{3, 1}, {1, 2}, {2, 3}}) == "start1 start2 start3 end2 end3 end1 1 2 3 at3");
}

TEST_CASE("07: when_all without tasks") {
    CHECK(log_of({}) == "at0");
}

TEST_CASE("07: when_all with tasks that never wait") {
    CHECK(log_of({{0, 1}, {0, 2}}) == "start1 end1 start2 end2 1 2 at0");
    CHECK(log_of({{0, 1}, {2, 2}, {0, 3}}) == "start1 end1 start2 start3 end3 end2 1 2 3 at2");
}

TEST_CASE("07: the first exception destroys the other tasks and is then thrown") {
    CHECK(log_of({{5, 1}, {2, -2}, {9, 3}, {1, 4}}) ==
          "start1 start-2 start3 start4 end4 worker -2 alive:0 at2");
}

TEST_CASE("07: of two exceptions at the same time, the first one is thrown") {
    CHECK(log_of({{2, -1}, {2, -2}}) == "start-1 start-2 worker -1 alive:0 at2");
}

TEST_CASE("07: after an exception at the start no other task starts") {
    CHECK(log_of({{1, 1}, {0, -2}, {0, 3}}) == "start1 start-2 worker -2 alive:0 at0");
}

TEST_CASE("07: when_all with tasks without results") {
    Log log;
    auto quiet = [](EventLoop& loop, Log& log, Time delay) -> Task<> {
        co_await loop.async_sleep(delay);
        log.add(std::to_string(delay));
    };
    auto parent = [](auto& quiet, EventLoop& loop, Log& log) -> Task<> {
        std::vector<Task<>> tasks;
        tasks.push_back(quiet(loop, log, 2));
        tasks.push_back(quiet(loop, log, 1));
        co_await when_all(std::move(tasks));
        log.add("all");
    };
    run_alone([&](EventLoop& loop) { return parent(quiet, loop, log); });
    CHECK(log.text() == "1 2 all");
}

/// Fails after `delay`, with a 42, which is no std::exception.
template <typename T>
Task<T> fail_with_42(EventLoop& loop, Time delay, int& alive) {
    const Guest guest(alive);
    if (delay > 0) co_await loop.async_sleep(delay);
    throw 42;
}

template <typename T>
Task<> catch_42(EventLoop& loop, Log& log, std::vector<Time> delays, int& alive) {
    std::vector<Task<T>> tasks;
    for (const Time delay : delays) tasks.push_back(fail_with_42<T>(loop, delay, alive));
    try {
        co_await when_all(std::move(tasks));
        log.add("continued");
    } catch (const int number) {
        log.add(std::to_string(number) + " alive:" + std::to_string(alive));
    }
    log.add("at" + std::to_string(loop.current_time()));
}

TEST_CASE("07: when_all throws what its first failed task threw, also if it is no exception") {
    for (const std::vector<Time>& delays : {std::vector<Time>{3, 2, 9}, {2}, {0, 1}}) {
        int alive = 0;
        Log with_results;
        Log without;
        run_alone(
            [&](EventLoop& loop) { return catch_42<int>(loop, with_results, delays, alive); });
        run_alone([&](EventLoop& loop) { return catch_42<void>(loop, without, delays, alive); });
        const Time end = delays.front() == 0 ? 0 : 2;
        CHECK(with_results.text() == "42 alive:0 at" + std::to_string(end));
        CHECK(without.text() == with_results.text());
    }
}

TEST_CASE("07: when_all without results and without tasks, and when nothing waits") {
    Log log;
    auto quiet = []() -> Task<> { co_return; };
    auto parent = [](auto& quiet, Log& log) -> Task<> {
        co_await when_all(std::vector<Task<>>());
        log.add("none");
        std::vector<Task<>> tasks;
        tasks.push_back(quiet());
        tasks.push_back(quiet());
        co_await when_all(std::move(tasks));
        log.add("two");
    };
    run_alone([&](EventLoop& /*loop*/) { return parent(quiet, log); });
    CHECK(log.text() == "none two");
}

TEST_CASE("07: when_all with move-only results") {
    auto make = [](EventLoop& loop, int number) -> Task<std::unique_ptr<int>> {
        co_await loop.async_sleep(number);
        co_return std::make_unique<int>(number);
    };
    int sum = 0;
    auto parent = [](auto& make, EventLoop& loop, int& sum) -> Task<> {
        std::vector<Task<std::unique_ptr<int>>> tasks;
        for (int i = 0; i < 3; ++i) tasks.push_back(make(loop, i));
        for (const auto& one : co_await when_all(std::move(tasks))) sum = 10 * sum + *one;
    };
    run_alone([&](EventLoop& loop) { return parent(make, loop, sum); });
    CHECK(sum == 12);
}

TEST_CASE("07: when_all inside when_all") {
    auto leaf = [](EventLoop& loop, int number) -> Task<int> {
        co_await loop.async_sleep(number);
        co_return number;
    };
    auto branch = [](auto& leaf, EventLoop& loop, int from) -> Task<int> {
        std::vector<Task<int>> tasks;
        for (int i = 0; i < 10; ++i) tasks.push_back(leaf(loop, from + i));
        int sum = 0;
        for (const int one : co_await when_all(std::move(tasks))) sum += one;
        co_return sum;
    };
    int sum = 0;
    auto root = [](auto& branch, auto& leaf, EventLoop& loop, int& sum) -> Task<> {
        std::vector<Task<int>> tasks;
        for (int i = 0; i < 10; ++i) tasks.push_back(branch(leaf, loop, 10 * i));
        for (const int one : co_await when_all(std::move(tasks))) sum += one;
    };
    run_alone([&](EventLoop& loop) { return root(branch, leaf, loop, sum); });
    CHECK(sum == 99 * 100 / 2);
}

TEST_CASE("07: destroying a task that awaits when_all destroys its members") {
    EventLoop loop;
    Log log;
    int alive = 0;
    {
        Task<> task = run_workers(loop, log, {{1, 1}, {2, 2}, {3, 3}}, alive);
        task.start();
        CHECK(alive == 3);
    }
    CHECK(alive == 0);
    loop.run();
    CHECK(log.text() == "start1 start2 start3");
    CHECK(loop.current_time() == 0);
}

TEST_CASE("07: when_all with a hundred thousand tasks") {
    std::vector<Work> works;
    for (int i = 0; i < tools::many / 10; ++i) works.push_back({i % 7, 1});
    const std::string text = log_of(std::move(works));
    CHECK(text.substr(text.size() - 7) == "1 1 at6");
}

}  // namespace
