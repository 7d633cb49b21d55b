// Shared by the tests of chapter 07.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "chapters/07-simulated-clock/event_loop.hpp"
#include "tests/07-simulated-clock/probes.hpp"

namespace tools {

using simulated::EventLoop;
using simulated::Time;

/// Logs NAME and the time, at its start and after each sleep.
inline Task<> sleeper(EventLoop& loop, Log& log, std::string name, std::vector<Time> delays) {
    log.add(name + std::to_string(loop.current_time()));
    for (const Time delay : delays) {
        co_await loop.async_sleep(delay);
        log.add(name + std::to_string(loop.current_time()));
    }
}

/// Runs one task to its end, on a loop of its own.
template <typename MakeTask>
void run_alone(MakeTask make_task) {
    EventLoop loop;
    loop.add_task("the test's task", make_task(loop));
    loop.run();
}

}  // namespace tools
