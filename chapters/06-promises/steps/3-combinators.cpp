// Step 06.3: combinators, which make one promise of many.
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "chapters/06-promises/combinators.hpp"

using promises::Deferred;
using promises::Promise;

int main() {
    promises::JobQueue jobs;
    const Deferred<int> a(jobs);
    const Deferred<int> b(jobs);
    const Deferred<int> c(jobs);
    const std::vector<Promise<int>> three{a.promise(), b.promise(),
                                          c.promise()};

    const auto failed = [](const char* name) {
        return [name](const std::exception_ptr& error) {
            std::printf("  %-12s failed: %s\n", name,
                        promises::message(error).c_str());
        };
    };
    promises::all(jobs, three)
        .then(
            [](const std::vector<int>& values) {
                std::printf("  all: %zu values\n", values.size());
            },
            failed("all"));
    promises::all_settled(jobs, three).then([](const auto& outcomes) {
        std::string text;
        for (const auto& outcome : outcomes) {
            text += outcome.value
                        ? " " + std::to_string(*outcome.value)
                        : " (" + promises::message(outcome.error) + ")";
        }
        std::printf("  %-12s%s\n", "all_settled", text.c_str());
    });
    promises::any(jobs, three)
        .then([](int n) { std::printf("  %-12s %d\n", "any", n); },
              failed("any"));
    promises::race(jobs, three)
        .then([](int n) { std::printf("  %-12s %d\n", "race", n); },
              failed("race"));

    std::puts("c fails");
    c.reject(std::runtime_error("no connection"));
    jobs.run();
    std::puts("b is 20");
    b.resolve(20);
    jobs.run();
    std::puts("a is 10");
    a.resolve(10);
    jobs.run();
}
