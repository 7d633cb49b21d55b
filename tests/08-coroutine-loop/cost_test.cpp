// What a request, and a million waits, must not cost: counted, not timed.
#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <string_view>
#include <utility>

#include "chapters/08-coroutine-loop/conversation.hpp"
#include "chapters/08-coroutine-loop/steps/count_allocations.hpp"
#include "common/service_options.hpp"
#include "tests/05-callback-loop/pair.hpp"
#include "tests/08-coroutine-loop/kernel.hpp"
#include "tests/08-coroutine-loop/world.hpp"

using common::ServiceOptions;
using coroutines::EventLoop;
using coroutines::Socket;
using coroutines::Task;
using coroutines::when_any;
using testing::World;
using namespace std::chrono_literals;

namespace {

// AddressSanitizer keeps g++ from making tail calls: each wait then takes some of the stack.
#if defined(__SANITIZE_ADDRESS__) && !defined(__clang__)
constexpr int many = 1'000;
#else
constexpr int many = 1'000'000;
#endif

constexpr int requests = 1000;

struct Cost {
    long allocations = -1;
    long epoll_changes = -1;
};

Task<> ask(Socket socket, Cost& cost) {
    std::array<char, 100> buffer;
    for (int i = 0; i < 10 + requests; ++i) {
        if (i == 10) cost = {::allocations, testing::epoll_changes};  // steady state
        co_await socket.write_all("hello");
        co_await socket.read(buffer);
    }
    cost = {::allocations - cost.allocations, testing::epoll_changes - cost.epoll_changes};
}

Cost cost_of_requests(const ServiceOptions& options) {
    World world;
    testing::Pair pair;
    Cost cost;
    world.loop.spawn("server",
                     converse(world.loop, options, Socket(world.loop, std::move(pair.ours))));
    world.loop.spawn("client", ask(Socket(world.loop, std::move(pair.theirs)), cost));
    world.loop.run();
    return cost;
}

Task<int> one() {
    co_return 1;
}

Task<int> one_after_a_sleep(EventLoop& loop) {
    co_await loop.async_sleep(0ms);
    co_return 1;
}

}  // namespace

TEST_CASE("a request allocates nothing, and calls epoll_ctl never") {
    SUBCASE("timeouts off") {
        const Cost cost = cost_of_requests({});
        CHECK(cost.allocations == 0);
        CHECK(cost.epoll_changes == 0);
    }
    SUBCASE("timeouts on") {
        const Cost cost = cost_of_requests({.idle_timeout = 1h, .reply_delay = 0ms});
        CHECK(cost.allocations == 0);
        CHECK(cost.epoll_changes == 0);
    }
    SUBCASE("timeouts on, and every reply is delayed") {
        const Cost cost = cost_of_requests({.idle_timeout = 1h, .reply_delay = 1ms});
        CHECK(cost.allocations == 0);
        CHECK(cost.epoll_changes == 0);
    }
}

TEST_CASE("a million tasks, awaited one after the other") {
    World world;
    long sum = 0;
    testing::finish(world.loop, [](long& total) -> Task<> {
        for (int i = 0; i < many; ++i) total += co_await one();
    }(sum));
    CHECK(sum == many);
}

TEST_CASE("a million races that end without waiting") {
    World world;
    long sum = 0;
    testing::finish(world.loop, [](EventLoop& loop, long& total) -> Task<> {
        for (int i = 0; i < many; ++i) {
            const auto winner = co_await when_any(one(), coroutines::pass(loop, 1h));
            total += std::get<0>(winner);
        }
    }(world.loop, sum));
    CHECK(sum == many);
    CHECK(world.is_quiet());
}

TEST_CASE("a hundred thousand races that have to wait") {
    World world;
    long sum = 0;
    testing::finish(world.loop, [](EventLoop& loop, long& total) -> Task<> {
        for (int i = 0; i < many / 10; ++i) {
            const auto winner =
                co_await when_any(coroutines::pass(loop, 1h), one_after_a_sleep(loop));
            total += std::get<1>(winner);
        }
    }(world.loop, sum));
    CHECK(sum == many / 10);
    CHECK(world.is_quiet());
}

TEST_CASE("ten thousand timeouts, each inside another one") {
    // The levels take some of the stack: see combine.hpp.
    constexpr int levels = many / 100;
    struct Nested {
        static Task<int> level(EventLoop& loop, int depth) {
            if (depth == 0) co_return co_await one_after_a_sleep(loop);
            co_return co_await coroutines::with_timeout(loop, level(loop, depth - 1), 1h);
        }
        static Task<> finish(EventLoop& loop, int& result) {
            result = co_await level(loop, levels);
        }
        static Task<> begin(EventLoop& loop) {
            co_await coroutines::with_timeout(loop, sleep_inside(loop, levels), 1ms);
        }
        static Task<> sleep_inside(EventLoop& loop, int depth) {
            if (depth == 0) co_return co_await loop.async_sleep(1h);
            co_await coroutines::with_timeout(loop, sleep_inside(loop, depth - 1), 1h);
        }
    };
    World world;
    int result = 0;
    testing::finish(world.loop, Nested::finish(world.loop, result));
    CHECK_MESSAGE(result == 1, "the innermost task's result should come out");
    // Destroyed in the middle of it all
    CHECK_THROWS_AS(testing::finish(world.loop, Nested::begin(world.loop)), coroutines::TimedOut);
    CHECK(world.is_quiet());
}

TEST_CASE("a hundred thousand tasks at once, each asleep, and destroyed there") {
    World world;
    for (int i = 0; i < many / 10; ++i) {
        world.loop.spawn("sleeper",
                         coroutines::pass(world.loop, 1h + std::chrono::seconds(i % 97)));
    }
    world.loop.spawn("end", [](EventLoop& loop) -> Task<> {
        co_await loop.async_sleep(1ms);
        loop.stop();
    }(world.loop));
    world.loop.run();
    CHECK(world.loop.sleeping() == many / 10);
}
