// What a wake-up costs while many others wait: with chapter 05's timers, with chapter 07's tasks,
// and with a list that is searched from end to end.
//
//     timers N     waits with N of them; prints nanoseconds per wake-up, as JSON
//
// Dense: 100 wake up at the same time. Sparse: seldom more than one does.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>
#include <vector>

#include "chapters/05-callback-loop/clock.hpp"
#include "chapters/05-callback-loop/timer_queue.hpp"
#include "chapters/07-simulated-clock/event_loop.hpp"

namespace {

/// The delays are random, up to this: how far apart the wake times are.
std::int64_t longest_delay(std::size_t waiting, bool dense) {
    const auto count = static_cast<std::int64_t>(waiting);
    return dense ? std::max<std::int64_t>(count / 50, 1) : count * 100;
}

/// The number of measured wake-ups: at least one for each sleeper.
std::size_t wake_ups(std::size_t waiting) {
    return std::max<std::size_t>(waiting, 300'000);
}

class Delays {
public:
    explicit Delays(std::int64_t longest) : delay_(1, longest) {}
    std::int64_t next() { return delay_(random_); }

private:
    std::minstd_rand random_{1};
    std::uniform_int_distribution<std::int64_t> delay_;
};

/// Returns the nanoseconds of CPU time that this process has used.
double cpu() {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

double measure(std::size_t count, const auto& work) {
    const double start = cpu();
    work();
    return (cpu() - start) / static_cast<double>(count);
}

/// Every timer that fires sets itself again, as idle timeouts do.
double timers(std::size_t waiting, bool dense) {
    Delays delays(longest_delay(waiting, dense));
    callbacks::TimerQueue queue;
    callbacks::TimePoint now;
    std::size_t fired = 0;
    const auto set = [&](const auto& again) -> void {
        queue.set(now + callbacks::Duration(delays.next()), [&again] { again(again); });
    };
    const auto wake = [&](const auto& again) -> void {
        ++fired;
        set(again);
    };
    for (std::size_t i = 0; i < waiting; ++i) set(wake);
    const std::size_t enough = wake_ups(waiting);
    return measure(enough, [&] {
        while (fired < enough) {
            now = queue.next_deadline();
            queue.fire(now, [](const callbacks::Callback& callback) { callback(); });
        }
    });
}

simulated::Task<> sleep_again(simulated::EventLoop& loop, Delays& delays, std::size_t& left) {
    while (left > 0) {
        --left;
        co_await loop.async_sleep(delays.next());
    }
}

/// Tasks of chapter 07, each of which sleeps again and again.
double tasks(std::size_t waiting, bool dense) {
    Delays delays(longest_delay(waiting, dense));
    simulated::EventLoop loop;
    const std::size_t enough = wake_ups(waiting);
    std::size_t left = enough;
    for (std::size_t i = 0; i < waiting; ++i) {
        loop.add_task("sleeper", sleep_again(loop, delays, left));
    }
    return measure(enough, [&] { loop.run(); });
}

/// Each wake-up searches all sleepers for the earliest: O(n).
double linear_search(std::size_t waiting, bool dense) {
    Delays delays(longest_delay(waiting, dense));
    std::vector<std::int64_t> wake_times;
    for (std::size_t i = 0; i < waiting; ++i) wake_times.push_back(delays.next());
    const std::size_t enough = std::max<std::size_t>(30'000'000 / waiting, 30);
    std::size_t done = 0;
    const double each = measure(1, [&] {
        while (done < enough) {
            const std::int64_t now = *std::ranges::min_element(wake_times);
            for (std::int64_t& time : wake_times) {
                if (time != now) continue;
                time = now + delays.next();
                ++done;
            }
        }
    });
    return each / static_cast<double>(done);
}

}  // namespace

int main(int argc, char** argv) {
    const std::size_t waiting = argc == 2 ? std::strtoul(argv[1], nullptr, 10) : 0;
    if (waiting == 0) {
        std::fputs("usage: timers N\n", stderr);
        return 2;
    }
    std::printf(
        "{\"05 timers, sparse\": %.1f, \"05 timers, dense\": %.1f, \"07 tasks, sparse\": %.1f, "
        "\"07 tasks, dense\": %.1f, \"linear search, sparse\": %.1f}\n",
        timers(waiting, false), timers(waiting, true), tasks(waiting, false), tasks(waiting, true),
        linear_search(waiting, false));
}
