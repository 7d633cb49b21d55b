// What a task costs, counted in allocations. See docs/07-simulated-clock.md.
#include <atomic>
#include <cstdlib>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "chapters/07-simulated-clock/event.hpp"
#include "chapters/07-simulated-clock/frame_pool.hpp"
#include "tests/07-simulated-clock/tools.hpp"
#include "tests/support/test.hpp"

namespace {

std::atomic<long> allocations = 0;
std::atomic<long> frees = 0;

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
    ++frees;
    std::free(block);
}
[[gnu::noinline]] void operator delete(void* block, std::size_t /*size*/) noexcept {
    ++frees;
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
    CHECK_MESSAGE(FramePool::most_kept < 16 * 1024 * 1024, "the bound should be small");
    void* large = FramePool::take(1'000'000);
    CHECK(large != nullptr);
    FramePool::give_back(large, 1'000'000);
}

/// Takes frames of `size` bytes, `bytes` in all, and gives them back. Returns how many it took.
std::size_t fill_and_empty(std::size_t size, std::size_t bytes) {
    std::vector<void*> frames;
    for (std::size_t taken = 0; taken < bytes; taken += size)
        frames.push_back(FramePool::take(size));
    for (void* frame : frames) FramePool::give_back(frame, size);
    return frames.size();
}

TEST_CASE("07: the pool keeps a bounded number of bytes, whatever the sizes were") {
    std::thread([] {
        const long before = allocations - frees;
        for (const std::size_t size : {100, 150, 200, 250, 300, 1'000, 1'024})
            fill_and_empty(size, 4 * FramePool::most_kept);
        const long kept = allocations - frees - before;
        CHECK_MESSAGE(kept <= static_cast<long>(FramePool::most_kept / 100), kept,
                      " freed frames are kept, more than fit into most_kept");
        if (pooled) CHECK_MESSAGE(kept > 0, "some should be kept");
    }).join();
}

TEST_CASE("07: a frame that leaves the pool makes room for another one") {
    if (!pooled) {
        CHECK(true);
        return;
    }
    std::thread([] {
        const std::size_t half = FramePool::most_kept / 2;
        fill_and_empty(1'024, half);
        for (int round = 0; round < 10; ++round) fill_and_empty(1'024, half);
        const long before = allocations;
        void* frame = FramePool::take(1'024);
        const long counted = allocations - before;
        CHECK_MESSAGE(counted == 0, "half of what may be kept was given back");
        FramePool::give_back(frame, 1'024);
    }).join();
}

TEST_CASE("07: each thread has a pool of its own, which is freed when the thread ends") {
    void* mine = FramePool::take(700);
    FramePool::give_back(mine, 700);
    // The thread itself may allocate, but the same each time.
    long left[2] = {};
    for (int round = 0; round < 2; ++round) {
        const long before = allocations - frees;
        void* theirs = nullptr;
        std::thread([&] {
            if (round == 1) fill_and_empty(700, 50'000);
            theirs = FramePool::take(700);
            FramePool::give_back(theirs, 700);
        }).join();
        if (pooled) CHECK_MESSAGE(theirs != mine, "the other thread got a frame of this one");
        left[round] = allocations - frees - before;
    }
    CHECK_MESSAGE(left[1] == left[0], "the frames of a thread that has ended are not freed");
    CHECK(left[0] == 0);
}

TEST_CASE("07: a frame may be given back after the thread's pool was emptied") {
    // Destroyed after the pool: it exists before the pool is used.
    struct Late {
        void* frame = nullptr;
        Late() = default;
        Late(const Late&) = delete;
        Late& operator=(const Late&) = delete;
        ~Late() {
            if (frame != nullptr) FramePool::give_back(frame, 300);
        }
    };
    const long before = allocations - frees;
    std::thread([] {
        static thread_local Late late;
        late.frame = FramePool::take(300);
        fill_and_empty(300, 3'000);
    }).join();
    CHECK(allocations - frees == before);
}

TEST_CASE("07: a removed sleeper costs the others nothing: a hundred thousand of each") {
    // Each removal would visit all that sleep, if removed sleepers were counted for ever. That
    // takes minutes, so the watchdog ends the test.
    support::waiting_for("the removal of sleepers, which should not visit all that sleep");
    EventLoop loop;
    std::vector<Task<int>> asleep;
    for (int i = 0; i < 100'000; ++i) {
        asleep.push_back(child(loop));
        asleep.back().start();
    }
    for (int i = 0; i < 400'000; ++i) child(loop).start();
    loop.run();
    CHECK(loop.current_time() == 3);
    for (const Task<int>& task : asleep) REQUIRE(task.done());
}

}  // namespace
