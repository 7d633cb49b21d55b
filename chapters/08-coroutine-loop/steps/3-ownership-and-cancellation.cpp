// Step 08.3: which frame owns which, and what happens to the loser of a race.
#include <chrono>
#include <cstdio>

#include "chapters/05-callback-loop/clock.hpp"
#include "chapters/08-coroutine-loop/accept_connect.hpp"
#include "chapters/08-coroutine-loop/combine.hpp"
#include "chapters/08-coroutine-loop/event_loop.hpp"
#include "chapters/08-coroutine-loop/socket.hpp"
#include "common/listener.hpp"

using common::Listener;
using coroutines::EventLoop;
using coroutines::Task;
using coroutines::TaskHandle;
using coroutines::TimedOut;
using coroutines::when_any;
using coroutines::with_timeout;
using namespace std::chrono_literals;

namespace {

/// A variable of a coroutine lives as long as the frame does.
struct Frame {
    explicit Frame(const char* its_name) : name(its_name) {}
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;
    ~Frame() { std::printf("        the frame of %s is gone\n", name); }
    const char* name;
};

void count(const EventLoop& loop, const char* when) {
    std::printf("%-22s %zu asleep, %d wait for a descriptor\n", when,
                loop.sleeping(), loop.waiting());
}

Task<> accept_one(EventLoop& loop, Listener& listener) {
    const Frame frame("accept_one");
    // No client ever connects.
    co_await accept(loop, listener);
}

Task<> sleep(EventLoop& loop, std::chrono::seconds time) {
    const Frame frame(time == 1s ? "the short sleep" : "the long sleep");
    co_await loop.async_sleep(time);
}

Task<> compete(EventLoop& loop, Listener& listener) {
    count(loop, "before the race:");
    co_await when_any(accept_one(loop, listener), sleep(loop, 1h),
                      sleep(loop, 1s));
    count(loop, "after the race:");

    try {
        co_await with_timeout(loop, accept_one(loop, listener), 2s);
    } catch (const TimedOut& error) {
        std::printf("with_timeout: %s\n", error.what());
    }
    count(loop, "after the timeout:");
}

/// Counts while the other tasks wait, and cancels one of them.
Task<> observe(EventLoop& loop, TaskHandle& sleeper) {
    co_await loop.async_sleep(500ms);
    count(loop, "during the race:");
    sleeper.cancel();
    // Until the next turn
    co_await loop.async_sleep(0ms);
    count(loop, "one is cancelled:");
}

}  // namespace

int main() {
    // Simulated, so that an hour takes no time
    callbacks::SimulatedClock clock;
    EventLoop loop(clock);
    Listener listener(0, Listener::Mode::non_blocking);
    auto sleeper = loop.spawn("sleeper", sleep(loop, 2h));
    loop.spawn("race", compete(loop, listener));
    loop.spawn("spectator", observe(loop, sleeper));
    loop.run();
}
