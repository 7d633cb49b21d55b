// Step 08.1: co_await on chapter 06's Promise is then(), with the rest of the
// function as handler.
//
// It also counts the allocations of a thousand waits, with promises and with
// tasks.
#include <cstdio>
#include <stdexcept>

#include "chapters/06-promises/promise.hpp"
#include "chapters/07-simulated-clock/task.hpp"
#include "chapters/08-coroutine-loop/promise_awaiter.hpp"
#include "chapters/08-coroutine-loop/steps/count_allocations.hpp"

using promises::Deferred;
using promises::JobQueue;
using promises::Promise;
using simulated::Task;

namespace {

/// As a chain: the next step is a function of its own.
Promise<int> add_as_chain(const Promise<int>& a, const Promise<int>& b) {
    return a.then([b](int x) { return b.then([x](int y) { return x + y; }); });
}

/// As a coroutine: the next step is the next line. Its result goes into a
/// Task<int>::promise_type, which the compiler looks up by that name. That is
/// the coroutine's own end of its Task, and has nothing to do with
/// Promise<int>, for which it only waits.
Task<int> add_as_coroutine(Promise<int> a, Promise<int> b) {
    const int x = co_await a;
    const int y = co_await b;
    co_return x + y;
}

Task<> tell_error(Promise<int> promise) {
    try {
        co_await promise;
    } catch (const std::runtime_error& error) {
        std::printf("caught where it was awaited: %s\n", error.what());
    }
}

Task<> await_promises(JobQueue& jobs, int count) {
    for (int i = 0; i < count; ++i) co_await promises::resolved(jobs, i);
}

Task<int> one() {
    co_return 1;
}

Task<> await_tasks(int count) {
    for (int i = 0; i < count; ++i) co_await one();
}

}  // namespace

int main() {
    JobQueue jobs;
    const Deferred<int> a(jobs);
    const Deferred<int> b(jobs);
    add_as_chain(a.promise(), b.promise()).then([](int sum) {
        std::printf("chain: %d\n", sum);
    });
    Task<int> sum = add_as_coroutine(a.promise(), b.promise());
    sum.start();
    Task<> telling = tell_error(
        b.promise().then([](int) -> int { throw std::runtime_error("no"); }));
    telling.start();
    std::printf("both wait\n");
    b.resolve(2);
    a.resolve(40);
    jobs.run();
    std::printf("coroutine: %d\n", sum.result());

    constexpr int waits = 1000;
    long before = allocations;
    Task<> first = await_promises(jobs, waits);
    first.start();
    jobs.run();
    std::printf("%d promises awaited: %ld allocations\n", waits,
                allocations - before);
    before = allocations;
    Task<> second = await_tasks(waits);
    second.start();
    std::printf("%d tasks awaited:    %ld allocations\n", waits,
                allocations - before);
}
