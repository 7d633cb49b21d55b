// Long chains need neither memory nor stack: docs/06-promises.md, "What a handler returns or
// throws". Nothing is measured in seconds: allocations are counted, the stack is measured by
// addresses.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <vector>

#include "chapters/06-promises/combinators.hpp"
#include "chapters/06-promises/promise.hpp"
#include "tests/06-promises/allocations.hpp"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZER
#endif
#endif

namespace {

using promises::Deferred;
using promises::JobQueue;
using promises::Promise;
using promises::resolved;
using promises::Status;

#if defined(__SANITIZE_ADDRESS__) || defined(ADDRESS_SANITIZER)
constexpr int million = 100'000;  // an allocation costs ten times as much here
#else
constexpr int million = 1'000'000;
#endif
constexpr std::size_t some_frames = 16UL * 1024;  // of stack; so many calls take far more

/// Records how far apart the lowest and the highest stack address are that it has seen.
class Stack {
public:
    [[gnu::noinline]] void look() {
        ++looks_;
        // Not the address of a local variable: AddressSanitizer keeps those elsewhere.
        const auto address = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
        lowest_ = std::min(lowest_, address);
        highest_ = std::max(highest_, address);
    }
    [[nodiscard]] std::size_t depth() const { return highest_ - lowest_; }
    [[nodiscard]] int looks() const { return looks_; }

private:
    int looks_ = 0;
    std::uintptr_t lowest_ = std::numeric_limits<std::uintptr_t>::max();
    std::uintptr_t highest_ = 0;
};

/// Looks at the stack when it is destroyed, wherever it has been moved to.
class LooksWhenDestroyed {
public:
    explicit LooksWhenDestroyed(Stack* stack) : stack_(stack, [](Stack* s) { s->look(); }) {}

private:
    std::unique_ptr<Stack, void (*)(Stack*)> stack_;
};

/// `rounds` lines with a peer that answers at once: read().then(write).then(again).
class Conversation {
public:
    Conversation(JobQueue& jobs, long rounds) : jobs_(jobs), rounds_(rounds) {}

    Promise<void> converse() {
        most_alive_ = std::max(most_alive_, allocations::alive());
        if (rounds_-- == 0) return resolved(jobs_);
        return read().then([this](int line) { return write(line); }).then([this] {
            return converse();
        });
    }

    /// The loop: ends the read that is under way, again and again. Returns the most blocks alive.
    long run() {
        while (reading_) {
            const Deferred<int> reading = *reading_;
            reading_.reset();
            reading.resolve(1);
            jobs_.run();
        }
        return most_alive_;
    }

private:
    Promise<int> read() { return reading_.emplace(jobs_).promise(); }
    Promise<void> write(int /*line*/) { return resolved(jobs_); }

    JobQueue& jobs_;
    long rounds_;
    long most_alive_ = 0;
    std::optional<Deferred<int>> reading_;
};

/// Returns the most blocks that were alive during a conversation of `rounds` lines, beyond those
/// before it.
long blocks_alive(long rounds, bool keep_the_promise) {
    const long before = allocations::alive();
    JobQueue jobs;
    Conversation conversation(jobs, rounds);
    std::optional<Promise<void>> end = conversation.converse();
    if (!keep_the_promise) end.reset();
    const long most = conversation.run() - before;
    if (end) CHECK(end->status() == Status::fulfilled);
    return most;
}

}  // namespace

TEST_CASE("a conversation of a million lines uses no more memory than one of ten") {
    for (const bool keep : {true, false}) {
        CAPTURE(keep);
        const long ten = blocks_alive(10, keep);
        CHECK_MESSAGE(blocks_alive(million, keep) == ten,
                      "each line leaves something behind: a promise that was adopted by another "
                      "one must not stay between it and the next");
    }
}

TEST_CASE("a conversation frees everything") {
    const long before = allocations::alive();
    blocks_alive(1000, true);
    const long left = allocations::alive() - before;
    CHECK(left == 0);
}

TEST_CASE("adopting one promise again and again accumulates nothing") {
    JobQueue jobs;
    const Deferred<void> never(jobs);
    const auto adopt = [&] { resolved(jobs).then([&] { return never.promise(); }); };
    for (int i = 0; i < 2; ++i) {
        adopt();
        jobs.run();
    }
    const long before = allocations::alive();
    for (int i = 0; i < 1000; ++i) {
        adopt();
        jobs.run();
    }
    const long more = allocations::alive() - before;
    CHECK(more == 0);
}

TEST_CASE("a chain of a million then()s settles without a deeper stack") {
    JobQueue jobs;
    Stack stack;
    const Deferred<int> first(jobs);
    Promise<int> last = first.promise();
    for (int i = 0; i < million; ++i) {
        last = last.then([&stack](int n) {
            stack.look();
            return n + 1;
        });
    }
    int result = 0;
    last.then([&](int n) { result = n; });
    first.resolve(0);
    jobs.run();
    CHECK(result == million);
    CHECK(stack.depth() < some_frames);
}

TEST_CASE("an error passes through a million then()s without a deeper stack") {
    JobQueue jobs;
    const Deferred<void> first(jobs);
    Promise<void> last = first.promise();
    for (int i = 0; i < million; ++i) last = last.then([] {});
    bool arrived = false;
    last.catch_error([&](const std::exception_ptr&) { arrived = true; });
    first.reject(std::runtime_error("far away"));
    jobs.run();
    CHECK(arrived);
}

TEST_CASE("a chain of a million then()s is destroyed without a deeper stack") {
    for (const bool begun : {false, true}) {
        CAPTURE(begun);
        Stack stack;
        const long before = allocations::alive();
        {
            JobQueue jobs;
            std::optional<Deferred<void>> first(std::in_place, jobs);
            Promise<void> last = first->promise();
            for (int i = 0; i < million; ++i) {
                last = last.then([looking = std::make_shared<LooksWhenDestroyed>(&stack)] {});
            }
            if (begun) first->resolve();
            first.reset();  // it can no longer be settled
            if (begun) jobs.run(10);
        }
        const long left = allocations::alive() - before;
        CHECK(left == 0);
        CHECK(stack.looks() == million);
        CHECK_MESSAGE(stack.depth() < some_frames,
                      "each promise is destroyed inside the destructor of the one before it");
    }
}

TEST_CASE(
    "a million promises, each resolved with the next, settle and are freed without a deeper "
    "stack") {
    for (const bool forwards : {true, false}) {
        CAPTURE(forwards);
        JobQueue jobs;
        std::vector<Deferred<int>> chain;
        chain.reserve(million);
        for (int i = 0; i < million; ++i) chain.emplace_back(jobs);
        for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
            const std::size_t at = forwards ? i : chain.size() - 2 - i;
            chain[at].resolve(chain[at + 1].promise());
        }
        int result = 0;
        chain.front().promise().then([&](int n) { result = n; });
        SUBCASE("settled") {
            chain.back().resolve(7);
            jobs.run();
            CHECK(result == 7);
        }
        SUBCASE("never settled") {
            CHECK(result == 0);
        }
    }
}

namespace {

/// Another library's promise: passes on another thenable, and so on, and at the end its value.
struct Nested {
    using value_type = int;

    template <typename F, typename G>
    void then(F on_value, G /*on_error*/) {
        stack->look();
        if (left == 0) return on_value(7);
        on_value(Nested{left - 1, stack});
    }

    int left;
    Stack* stack;
};

}  // namespace

TEST_CASE("thenables that pass on thenables, 100,000 deep, need no deeper stack") {
    JobQueue jobs;
    Stack stack;
    int result = 0;
    resolved(jobs, Nested{100'000, &stack}).then([&](int n) { result = n; });
    jobs.run();
    CHECK(result == 7);
    CHECK(stack.looks() == 100'001);
    CHECK_MESSAGE(stack.depth() < some_frames,
                  "the then() of a thenable is called inside the then() of the one before it");
}

TEST_CASE("what a race leaves on a loser stays until the loser is settled") {
    JobQueue jobs;
    const Deferred<int> loser(jobs);
    const long before = allocations::alive();
    const auto race_once = [&] {
        promises::race(jobs, std::vector{resolved(jobs, 1), loser.promise()});
        jobs.run();
        return allocations::alive() - before;
    };
    const long after_one = race_once();
    CHECK(after_one > 0);
    for (int i = 0; i < 9; ++i) race_once();
    CHECK(race_once() == 11 * after_one);
    loser.resolve(2);
    jobs.run();
    const long left = allocations::alive() - before;
    CHECK(left == 0);
}

TEST_CASE("what a then() costs: two blocks, one for the handler and one for the promise") {
    JobQueue jobs;
    const Promise<int> promise = resolved(jobs, 1);
    const long before = allocations::made();
    promise.then([](int n) { return n; });
    const long registered = allocations::made() - before;
    jobs.run();
    const long run = allocations::made() - before - registered;
    CHECK(registered == 2);
    CHECK_MESSAGE(run == 0, "running a job allocates nothing");
}
