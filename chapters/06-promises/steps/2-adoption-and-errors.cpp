// Step 06.2: a handler that returns a promise, and errors that travel along the
// chain.
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>

#include "chapters/06-promises/promise.hpp"

using promises::Deferred;
using promises::JobQueue;

int main() {
    // Keeps the lines in order with those that go to stderr.
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    JobQueue jobs;
    // Two answers that have not come yet.
    const Deferred<std::string> name(jobs);
    const Deferred<std::string> greeting(jobs);

    name.promise()
        .then([&](const std::string& text) {
            std::printf("1: the name is %s, now for the greeting\n",
                        text.c_str());
            // Adopted: the chain continues when this promise is settled.
            return greeting.promise();
        })
        .then([](const std::string& text) {
            std::printf("2: %s\n", text.c_str());
        })
        .then([] {
            std::puts("3: and now something fails");
            throw std::runtime_error("the disk is full");
        })
        .then([] { std::puts("4: the file is saved"); })
        .catch_error([](const std::exception_ptr& error) {
            std::printf("5: caught: %s\n", promises::message(error).c_str());
        })
        .finally([] { std::puts("6: cleaned up"); })
        .then([] { throw std::runtime_error("no handler for this one"); });

    name.resolve("Ada");
    jobs.run();
    std::puts("(the queue is empty, the chain waits)");
    greeting.resolve("Hello!");
    jobs.run();
}
