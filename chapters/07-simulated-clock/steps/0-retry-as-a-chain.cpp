// Step 07.0: a retry loop with chapter 06's promises. Step 07.5 writes it as a
// loop.
#include <cstdio>
#include <exception>
#include <stdexcept>

#include "chapters/06-promises/promise.hpp"

namespace {

using promises::JobQueue;
using promises::Promise;

/// Answers at the third attempt.
Promise<int> ask(JobQueue& jobs, int attempt) {
    if (attempt < 3)
        return promises::rejected<int>(jobs, std::runtime_error("no answer"));
    return promises::resolved(jobs, 42);
}

/// Stands for a pause: chapter 06 has a real one.
Promise<void> pause(JobQueue& jobs, int /*duration*/) {
    return promises::resolved(jobs);
}

Promise<int> ask_patiently(JobQueue& jobs, int attempt = 1) {
    return ask(jobs, attempt)
        .catch_error([&jobs, attempt](const std::exception_ptr& error) {
            std::printf("attempt %d: %s\n", attempt,
                        promises::message(error).c_str());
            return pause(jobs, 5 * attempt).then([&jobs, attempt] {
                return ask_patiently(jobs, attempt + 1);
            });
        });
}

}  // namespace

int main() {
    JobQueue jobs;
    ask_patiently(jobs).then(
        [](int answer) { std::printf("the answer: %d\n", answer); });
    jobs.run();
}
