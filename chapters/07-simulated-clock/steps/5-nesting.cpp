// Step 07.5: tasks that await tasks: results, exceptions, and no stack.
//
// This is the retry loop from chapter 06, where it was a function that called
// itself in a chain. Here it is a for loop with a try block.
#include <cstdint>
#include <cstdio>
#include <stdexcept>

#include "chapters/07-simulated-clock/event_loop.hpp"
#include "chapters/07-simulated-clock/task.hpp"

namespace {

using simulated::EventLoop;
using simulated::Task;

/// Answers at the third attempt.
Task<int> ask(EventLoop& loop, int attempt) {
    co_await loop.async_sleep(10);
    if (attempt < 3) throw std::runtime_error("no answer");
    co_return 42;
}

Task<int> ask_patiently(EventLoop& loop) {
    for (int attempt = 1;; ++attempt) {
        try {
            co_return co_await ask(loop, attempt);
        } catch (const std::runtime_error& error) {
            std::printf("attempt %d at %ld: %s\n", attempt,
                        long{loop.current_time()}, error.what());
        }
        co_await loop.async_sleep(5 * attempt);
    }
}

/// `depth` tasks, each awaiting the next one. Returns where on the stack the
/// innermost one runs.
Task<std::uintptr_t> nested(int depth) {
    if (depth > 0) co_return co_await nested(depth - 1);
    co_return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
}

Task<> program(EventLoop& loop) {
    const int answer = co_await ask_patiently(loop);
    std::printf("the answer at %ld: %d\n", long{loop.current_time()}, answer);

    const std::uintptr_t shallow = co_await nested(1);
    const std::uintptr_t deep = co_await nested(1'000);
    std::printf("stack used by 999 more nested tasks: %ld bytes\n",
                static_cast<long>(shallow - deep));
}

}  // namespace

int main() {
    EventLoop loop;
    loop.add_task("program", program(loop));
    loop.run();
}
