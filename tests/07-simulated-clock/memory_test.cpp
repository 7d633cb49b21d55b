// What a task costs, counted in allocations. See docs/07-simulated-clock.md.
#include <cstdlib>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "chapters/07-simulated-clock/event.hpp"
#include "chapters/07-simulated-clock/frame_pool.hpp"
#include "tests/07-simulated-clock/tools.hpp"

namespace {

long allocations = 0;

}  // namespace

// Replacements that count, for this whole test program.
// NOLINTBEGIN(cppcoreguidelines-no-malloc, hicpp-no-malloc)
[[gnu::noinline]] void* operator new(std::size_t size) {
    void* block = std::malloc(size);
    if (block == nullptr) throw std::bad_alloc();
    ++allocations;
    return block;
}
[[gnu::noinline]] void operator delete(void* block) noexcept {
    std::free(block);
}
[[gnu::noinline]] void operator delete(void* block, std::size_t /*size*/) noexcept {
    std::free(block);
}
// NOLINTEND(cppcoreguidelines-no-malloc, hicpp-no-malloc)

namespace {

using simulated::Event;
using simulated::FramePool;
using tools::EventLoop;
using tools::run_alone;
using tools::Task;
using tools::Time;

/// With AddressSanitizer the pool keeps nothing: every frame has to be allocated and freed.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool pooled = false;
#elif defined(__has_feature)
constexpr bool pooled = !__has_feature(address_sanitizer);
#else
constexpr bool pooled = true;
#endif

Task<int> child(EventLoop& loop) {
    co_await loop.async_sleep(3);
    co_return 1;
}

/// A bucket of the clock allocates when it holds more sleepers than ever before. This puts one
/// sleeper into each bucket.
Task<> warm_up(EventLoop& loop) {
    co_await loop.async_sleep(0);
    for (Time delay = 1; delay < Time{1} << 50; delay *= 2) co_await loop.async_sleep(delay);
    co_await loop.async_sleep(1);
}

Task<> sleep_and_count(EventLoop& loop, long& counted) {
    const Time delays[] = {0, 1, 7, 100, 1'000'000};
    co_await warm_up(loop);
    const long before = allocations;
    for (int i = 0; i < 100'000; ++i) co_await loop.async_sleep(delays[i % 5]);
    counted = allocations - before;
}

Task<> await_children_and_count(EventLoop& loop, long& counted) {
    co_await warm_up(loop);
    co_await child(loop);
    const long before = allocations;
    for (int i = 0; i < 10'000; ++i) co_await child(loop);
    counted = allocations - before;
}

TEST_CASE("07: a sleep allocates nothing") {
    long counted = -1;
    run_alone([&](EventLoop& loop) { return sleep_and_count(loop, counted); });
    CHECK(counted == 0);
}

TEST_CASE("07: awaiting a child allocates nothing: its frame comes from the pool") {
    long counted = -1;
    run_alone([&](EventLoop& loop) { return await_children_and_count(loop, counted); });
    if (pooled) CHECK(counted == 0);
    if (!pooled) CHECK(counted >= 10'000);
}

TEST_CASE("07: waiting for an event allocates nothing") {
    long counted = -1;
    auto task = [](EventLoop& loop, long& counted) -> Task<> {
        const long before = allocations;
        Event event(loop);
        event.set();
        co_await event.wait();
        counted = allocations - before;
    };
    run_alone([&](EventLoop& loop) { return task(loop, counted); });
    CHECK(counted == 0);
}

TEST_CASE("07: destroyed sleepers do not accumulate in the clock") {
    EventLoop loop;
    for (int i = 0; i < 100; ++i) child(loop).start();
    const long before = allocations;
    for (int i = 0; i < 100'000; ++i) child(loop).start();  // started, asleep, destroyed
    const long counted = allocations - before;
    if (pooled) CHECK_MESSAGE(counted == 0, "the clock should not keep an entry for each");
    if (!pooled) CHECK_MESSAGE(counted < 100'100, "the clock should not keep an entry for each");
}

TEST_CASE("07: the pool keeps a bounded number of frames, whatever their sizes") {
    if (!pooled) return;
    std::vector<void*> frames(5000);
    for (const std::size_t size : {100, 150, 200}) {
        for (void*& frame : frames) frame = FramePool::take(size);
        const long before = allocations;
        for (void* frame : frames) FramePool::give_back(frame, size);
        for (void*& frame : frames) frame = FramePool::take(size);
        CHECK_MESSAGE(allocations - before == 4000, "of 5,000 freed frames of ", size,
                      " bytes it should keep 1,000, and return the others to the heap");
        for (void* frame : frames) FramePool::give_back(frame, size);
    }
}

TEST_CASE("07: each thread has a pool of its own") {
    if (!pooled) return;
    void* const ours = FramePool::take(300);
    FramePool::give_back(ours, 300);
    void* theirs = nullptr;
    std::thread([&theirs] {
        theirs = FramePool::take(300);
        FramePool::give_back(theirs, 300);
    }).join();
    CHECK_MESSAGE(theirs != ours, "a frame of this thread's pool went to another thread");
    CHECK_MESSAGE(FramePool::take(300) == ours, "this thread's pool should have kept its frame");
    FramePool::give_back(ours, 300);
}

TEST_CASE("07: the pool reuses a freed frame, and never one that is in use") {
    if (pooled) {
        void* first = FramePool::take(200);
        void* second = FramePool::take(200);
        CHECK(first != second);
        FramePool::give_back(first, 200);
        CHECK_MESSAGE(FramePool::take(193) == first, "a similar size should get the same frame");
        void* other = FramePool::take(500);
        CHECK(other != second);
        FramePool::give_back(other, 500);
        FramePool::give_back(first, 193);
        FramePool::give_back(second, 200);
    }
    void* large = FramePool::take(1'000'000);
    CHECK(large != nullptr);
    FramePool::give_back(large, 1'000'000);
}

}  // namespace
