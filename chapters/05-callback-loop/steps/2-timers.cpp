// Step 05.2: timers without a thread, a signal or a system call: the existing
// wait gets a timeout.
//
// Two timers tick every 100 ms, with callbacks that take 10 ms. One sets its
// next tick "in 100 ms", the other "100 ms after the last one was due". Only
// one of them keeps time.
#include <chrono>
#include <cstdio>
#include <functional>
#include <thread>

#include "chapters/04-epoll/epoll.hpp"
#include "chapters/05-callback-loop/clock.hpp"
#include "chapters/05-callback-loop/timer_queue.hpp"

using callbacks::SteadyClock;
using callbacks::TimePoint;
using callbacks::TimerHandle;
using callbacks::TimerQueue;
using namespace std::chrono_literals;

int main() {
    const SteadyClock clock;
    TimerQueue timers;
    // No descriptor is watched here, but this is where the loop sleeps.
    epolling::Epoll epoll;

    const TimePoint start = clock.now();
    const auto tick = [&](const char* name) {
        const auto time =
            std::chrono::round<std::chrono::milliseconds>(clock.now() - start);
        std::printf("%-8s %4lld ms\n", name,
                    static_cast<long long>(time.count()));
        // This stands for some work.
        std::this_thread::sleep_for(10ms);
    };

    std::function<void()> drifting = [&] {
        tick("drifting");
        timers.set(clock.now() + 100ms, drifting);
    };
    std::function<void(TimePoint)> steady = [&](TimePoint due) {
        tick("steady");
        timers.set(due + 100ms, [&, due] { steady(due + 100ms); });
    };
    timers.set(start + 30ms, drifting);
    timers.set(start + 100ms, [&] { steady(start + 100ms); });
    const TimerHandle cancelled =
        timers.set(start + 250ms, [] { std::printf("this was cancelled\n"); });
    timers.set(start + 150ms, [&] { timers.cancel(cancelled); });
    timers.set(start + 450ms, [&] { timers.cancel_all(); });

    while (!timers.empty()) {
        epoll.wait(clock.poll_timeout(timers.next_deadline()));
        timers.fire(clock.now(),
                    [](const std::function<void()>& callback) { callback(); });
    }
}
