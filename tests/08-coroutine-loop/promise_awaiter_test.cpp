// co_await on chapter 06's Promise.
// docs/08-coroutine-loop.md, "Step 1: awaiting a promise".
#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "chapters/06-promises/promise.hpp"
#include "chapters/07-simulated-clock/task.hpp"
#include "chapters/08-coroutine-loop/promise_awaiter.hpp"
#include "tests/08-coroutine-loop/world.hpp"

using promises::Deferred;
using promises::JobQueue;
using promises::Promise;
using simulated::Task;

namespace {

using Log = std::vector<std::string>;

/// Its copy constructor throws when it is told to.
struct Value {
    explicit Value(int its_number) : number(its_number) {}
    Value(const Value& other) : number(other.number) {
        if (copies_fail) throw std::runtime_error("the copy failed");
    }
    Value(Value&&) = default;
    Value& operator=(const Value&) = default;
    Value& operator=(Value&&) = default;
    ~Value() = default;

    int number;
    static inline bool copies_fail = false;
};

/// Awaits `promise`, and logs what comes of it.
template <typename T>
Task<> note(Promise<T> promise, Log& log) {
    std::string result;
    try {
        if constexpr (std::is_void_v<T>) {
            co_await std::move(promise);
            result = "done";
        } else if constexpr (std::is_same_v<T, std::unique_ptr<int>>) {
            const auto pointer = co_await std::move(promise);
            result = std::to_string(*pointer);
        } else if constexpr (std::is_same_v<T, Value>) {
            const Value value = co_await std::move(promise);
            result = std::to_string(value.number);
        } else {
            result = std::to_string(co_await std::move(promise));
        }
    } catch (const std::exception& error) {
        result = error.what();
    } catch (...) {
        result = "not a std::exception";
    }
    log.push_back(result);
}

}  // namespace

TEST_CASE("a promise that is fulfilled later resumes the coroutine, from the job queue") {
    JobQueue jobs;
    Log log;
    const Deferred<int> number(jobs);
    const Deferred<void> nothing(jobs);
    Task<> first = note(number.promise(), log);
    Task<> second = note(nothing.promise(), log);
    first.start();
    second.start();
    number.resolve(7);
    nothing.resolve();
    CHECK_MESSAGE(log.empty(), "no coroutine should run inside resolve()");
    jobs.run();
    CHECK(log == Log{"7", "done"});
}

TEST_CASE("a promise that is settled already does not resume the coroutine inside the co_await") {
    JobQueue jobs;
    Log log;
    Task<> task = note(promises::resolved(jobs, 7), log);
    task.start();
    CHECK(log.empty());
    jobs.run();
    CHECK(log == Log{"7"});
}

TEST_CASE("a rejected promise throws in the coroutine, whatever its error is") {
    JobQueue jobs;
    Log log;
    const Deferred<int> odd(jobs);
    Task<> first = note(promises::rejected<int>(jobs, std::runtime_error("no number")), log);
    Task<> second = note(promises::rejected<void>(jobs, std::runtime_error("not done")), log);
    Task<> third = note(odd.promise(), log);
    first.start();
    second.start();
    third.start();
    odd.reject(std::make_exception_ptr(42));
    jobs.run();
    CHECK(log == Log{"no number", "not done", "not a std::exception"});
}

TEST_CASE("a value that can only be moved is moved into the coroutine") {
    JobQueue jobs;
    Log log;
    const Deferred<std::unique_ptr<int>> pointer(jobs);
    Task<> task = note(pointer.promise(), log);
    task.start();
    pointer.resolve(std::make_unique<int>(7));
    jobs.run();
    CHECK(log == Log{"7"});
}

TEST_CASE("two coroutines await one promise: each gets a copy of the value") {
    JobQueue jobs;
    Log log;
    const Deferred<Value> value(jobs);
    Task<> first = note(value.promise(), log);
    Task<> second = note(value.promise(), log);
    first.start();
    second.start();
    value.resolve(Value(7));
    jobs.run();
    CHECK(log == Log{"7", "7"});
}

TEST_CASE("the copy of the value throws: the coroutine gets that exception") {
    JobQueue jobs;
    Log log;
    const Deferred<Value> value(jobs);
    // The promise is still held here, so the coroutine needs a copy.
    const Promise<Value> held = value.promise();
    Task<> task = note(held, log);
    task.start();
    value.resolve(Value(7));
    Value::copies_fail = true;
    jobs.run();
    Value::copies_fail = false;
    CHECK_MESSAGE(log == Log{"the copy failed"}, "the coroutine should have been resumed");
}
