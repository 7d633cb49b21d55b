// What the tests of chapter 07 have in common.
#pragma once

#include <doctest/doctest.h>

#include "chapters/07-simulated-clock/event_loop.hpp"
#include "tests/07-simulated-clock/probes.hpp"

namespace tools {

using simulated::EventLoop;
using simulated::Time;

/// Runs one task on a loop of its own, to the end.
template <typename MakeTask>
void run_alone(MakeTask make_task) {
    EventLoop loop;
    loop.add_task("the test's task", make_task(loop));
    loop.run();
}

}  // namespace tools
