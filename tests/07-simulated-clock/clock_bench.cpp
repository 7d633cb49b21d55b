// What a wake-up costs: tasks on the simulated clock, against a bare heap of integers with the same
// pushes and pops. Build and run it by hand:
//
//     g++ -std=c++20 -O2 -foptimize-sibling-calls -I.
//         -o build/clock_bench tests/07-simulated-clock/clock_bench.cpp && build/clock_bench
//
// It measures CPU time, which other programs disturb less, in interleaved rounds, and prints the
// median.
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <ctime>
#include <functional>
#include <queue>
#include <random>
#include <vector>

#include "chapters/07-simulated-clock/event_loop.hpp"
#include "chapters/07-simulated-clock/task.hpp"

namespace {

using simulated::EventLoop;
using simulated::Task;
using simulated::Time;

constexpr std::size_t sleeps = 10;  // of each task

/// The CPU time of this process, in nanoseconds.
double cpu_time() {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

double median(std::vector<double> numbers) {
    const auto middle = numbers.begin() + static_cast<std::ptrdiff_t>(numbers.size() / 2);
    std::ranges::nth_element(numbers, middle);
    return *middle;
}

/// Returns nanoseconds per wake-up. Each time that is popped is pushed again with the next delay.
double bare_heap(const std::vector<Time>& delays, std::size_t tasks) {
    const double began = cpu_time();
    std::priority_queue<Time, std::vector<Time>, std::greater<>> heap;
    auto next = delays.begin();
    while (heap.size() < tasks) heap.push(*next++);
    Time last = 0;
    while (!heap.empty()) {
        last = heap.top();
        heap.pop();
        if (next != delays.end()) heap.push(last + *next++);
    }
    const volatile Time keep = last;  // so that the compiler cannot remove the loop
    static_cast<void>(keep);
    return (cpu_time() - began) / static_cast<double>(delays.size());
}

Task<> sleeper(EventLoop& loop, const Time*& next_delay) {
    for (std::size_t i = 0; i < sleeps; ++i) co_await loop.async_sleep(*next_delay++);
}

/// Returns nanoseconds per wake-up, without creating the tasks.
double tasks_on_the_clock(const std::vector<Time>& delays, std::size_t tasks) {
    EventLoop loop;
    const Time* next_delay = delays.data();
    for (std::size_t i = 0; i < tasks; ++i) loop.add_task("task", sleeper(loop, next_delay));
    const double began = cpu_time();
    loop.run();
    return (cpu_time() - began) / static_cast<double>(delays.size());
}

void measure(std::size_t tasks, Time longest) {
    std::mt19937_64 dice(tasks);
    std::vector<Time> delays(tasks * sleeps);
    for (Time& delay : delays) {
        delay = static_cast<Time>(dice() % (static_cast<std::uint64_t>(longest) + 1));
    }
    std::vector<double> heap;
    std::vector<double> clock;
    for (std::size_t round = 0; round < std::clamp<std::size_t>(300'000 / tasks, 3, 101); ++round) {
        heap.push_back(bare_heap(delays, tasks));
        clock.push_back(tasks_on_the_clock(delays, tasks));
    }
    std::printf("%9zu  %9ld  %9.0f ns  %6.0f ns  %5.2f  %10.1f\n", tasks, long{longest},
                median(heap), median(clock), median(clock) / median(heap), 1e3 / median(clock));
}

}  // namespace

int main() {
    std::puts("    tasks     delays    bare heap      tasks  ratio  million/s");
    // The most tasks come last: they leave the pool with frames all over the memory.
    for (const std::size_t tasks : {1'000U, 10'000U, 100'000U, 1'000'000U}) {
        for (const Time longest : {1'000, 1'000'000}) measure(tasks, longest);
    }
}
