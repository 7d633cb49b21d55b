// Step 08.4: the limit of one thread. A coroutine that computes and never
// suspends stalls all the others.
//
// Ten clients sleep for 10 ms again and again. How late do they wake?
#include <algorithm>
#include <chrono>
#include <cstdio>

#include "chapters/08-coroutine-loop/event_loop.hpp"

using coroutines::EventLoop;
using coroutines::Task;
using coroutines::TimePoint;
using namespace std::chrono_literals;

namespace {

using Milliseconds = std::chrono::duration<double, std::milli>;

/// Keeps the thread busy.
void compute(std::chrono::milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end) {
    }
}

Task<> client(EventLoop& loop, Milliseconds& worst) {
    for (int i = 0; i < 50; ++i) {
        const TimePoint due = loop.now() + 10ms;
        co_await loop.async_sleep(10ms);
        worst = std::max<Milliseconds>(worst, loop.now() - due);
    }
}

Task<> handler(EventLoop& loop, std::chrono::milliseconds at_a_time) {
    co_await loop.async_sleep(100ms);
    for (auto left = 300ms; left > 0ms; left -= at_a_time) {
        compute(at_a_time);
        // Yields: the other ready tasks run first.
        co_await loop.async_sleep(0ms);
    }
}

void measure(const char* what, std::chrono::milliseconds at_a_time) {
    EventLoop loop;
    Milliseconds worst{};
    for (int i = 0; i < 10; ++i) loop.spawn("client", client(loop, worst));
    if (at_a_time > 0ms) loop.spawn("handler", handler(loop, at_a_time));
    loop.run();
    std::printf("%-48s %6.1f ms late at worst\n", what, worst.count());
}

}  // namespace

int main() {
    measure("ten clients:", 0ms);
    measure("and a handler that computes for 300 ms:", 300ms);
    measure("the same, yielding every 5 ms:", 5ms);
}
