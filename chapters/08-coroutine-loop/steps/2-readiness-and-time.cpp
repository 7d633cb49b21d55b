// Step 08.2: the two things that a loop can wait for, each behind a co_await.
//
// The same coroutines run twice: on the steady clock, and on a simulated one
// that jumps as soon as no coroutine is ready.
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>

#include "chapters/05-callback-loop/clock.hpp"
#include "chapters/08-coroutine-loop/event_loop.hpp"
#include "common/descriptor.hpp"
#include "common/error.hpp"

using common::Descriptor;
using coroutines::EventLoop;
using coroutines::Task;
using coroutines::TimePoint;
using namespace std::chrono_literals;

namespace {

void say(EventLoop& loop, TimePoint began, const char* what) {
    const auto time = std::chrono::duration_cast<std::chrono::milliseconds>(
        loop.now() - began);
    std::printf("%4d ms  %s\n", static_cast<int>(time.count()), what);
}

/// Waits for time: the coroutine is in the sleep queue.
Task<> speak(EventLoop& loop, TimePoint began, int socket) {
    for (const char* word : {"one", "two"}) {
        co_await loop.async_sleep(300ms);
        say(loop, began, "speaker: I have slept for 300 ms, and say something");
        common::check(static_cast<int>(::write(socket, word, 3)),
                      "cannot write");
    }
    ::shutdown(socket, SHUT_WR);
}

/// Waits for readiness: the descriptor is registered with epoll, and its tag
/// leads to the coroutine.
Task<> listen(EventLoop& loop, TimePoint began, int socket) {
    std::array<char, 4> word{};
    while (true) {
        co_await loop.until_readable(socket);
        const ssize_t count = ::read(socket, word.data(), 3);
        if (count <= 0) break;
        say(loop, began, word.data());
    }
    say(loop, began, "listener: the end");
}

void run(callbacks::Clock& clock) {
    std::array<int, 2> ends{};
    common::check(
        ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                     ends.data()),
        "cannot make a socket pair");
    const Descriptor ours(ends[0]);
    const Descriptor theirs(ends[1]);
    EventLoop loop(clock);
    loop.spawn("speaker", speak(loop, loop.now(), ours.fd()));
    loop.spawn("listener", listen(loop, loop.now(), theirs.fd()));
    loop.run();
}

}  // namespace

int main() {
    std::puts("On the clock of the machine:");
    run(callbacks::steady_clock());
    std::puts("On a clock that jumps:");
    callbacks::SimulatedClock simulated;
    const auto began = std::chrono::steady_clock::now();
    run(simulated);
    const bool at_once = std::chrono::steady_clock::now() - began < 300ms;
    std::printf("which took %s\n",
                at_once ? "no time at all" : "its time: is this machine busy?");
}
