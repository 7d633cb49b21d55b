// Step 05.3: "not now, but soon". A callback can leave the rest of its work in
// the task queue, the third phase of a turn.
//
// Then three that would run forever share the loop: a task, a timer without
// delay, and a reader that throws a ball to itself. They get equal shares,
// because the timers and readers stop at what there was when their phase began,
// and the tasks at what was queued when the turn began.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <functional>

#include "chapters/05-callback-loop/event_loop.hpp"
#include "common/descriptor.hpp"
#include "common/error.hpp"

using callbacks::EventLoop;

int main() {
    EventLoop loop;

    // The order within a turn, and what "soon" means.
    std::array<int, 2> ends{};
    common::check(pipe2(ends.data(), O_NONBLOCK), "cannot make a pipe");
    const common::Descriptor read_end(ends[0]);
    const common::Descriptor write_end(ends[1]);
    const auto throw_ball = [&] {
        common::check(static_cast<int>(write(write_end.fd(), "o", 1)),
                      "cannot write");
    };
    throw_ball();
    loop.call_soon(
        [&] { std::printf("turn 1: a task, queued before the loop ran\n"); });
    loop.add_reader(read_end.fd(), [&] {
        std::printf("turn 1: a reader\n");
        loop.remove_reader(read_end.fd());
        loop.call_soon(
            [] { std::printf("turn 2: a task, queued by the reader\n"); });
    });
    loop.call_later(std::chrono::seconds(0), [&] {
        std::printf("turn 1: a timer\n");
        loop.call_later(std::chrono::seconds(0), [] {
            std::printf("turn 2: a timer, set by the timer\n");
        });
    });
    loop.run();

    // No phase starves another.
    int tasks = 0;
    int timers = 0;
    int catches = 0;
    std::function<void()> task = [&] {
        ++tasks;
        loop.call_soon(task);
    };
    std::function<void()> timer = [&] {
        ++timers;
        loop.call_later(std::chrono::seconds(0), timer);
    };
    loop.call_soon(task);
    loop.call_later(std::chrono::seconds(0), timer);
    loop.add_reader(read_end.fd(), [&] {
        char ball = 0;
        if (read(read_end.fd(), &ball, 1) == 1) throw_ball();
        if (++catches == 1000) loop.stop();
    });
    loop.run();
    std::printf("after 1000 turns: %d timers, %d catches, %d tasks\n", timers,
                catches, tasks);
}
