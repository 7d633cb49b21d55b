// Step 06.1: a value that is not there yet. One end settles it, the other
// registers handlers.
//
// There is no loop and no kernel here: a promise needs only a queue for its
// handlers.
#include <cstdio>

#include "chapters/06-promises/promise.hpp"

int main() {
    promises::JobQueue jobs;
    const promises::Deferred<int> deferred(jobs);
    const promises::Promise<int> promise = deferred.promise();

    promise.then([](int n) { std::printf("  first handler: %d\n", n); });
    promise.then([](int n) { return n + 1; }).then([](int n) {
        std::printf("  end of the chain: %d\n", n);
    });
    std::puts("registered two handlers: nothing has run");

    deferred.resolve(41);
    deferred.resolve(99);
    std::puts("resolved with 41, then with 99: nothing has run");

    promise.then([](int n) { std::printf("  registered late: %d\n", n); });
    std::puts("registered a third one: nothing has run");

    jobs.run();
    std::puts("the queue is empty");
}
