// What the wrong programs share: a loop in virtual time, and "fixed" as the
// argument.
#pragma once

#include <chrono>
#include <cstdio>
#include <string_view>

#include "chapters/05-callback-loop/clock.hpp"
#include "chapters/08-coroutine-loop/event_loop.hpp"

using coroutines::EventLoop;
using coroutines::Task;
using namespace std::chrono_literals;

/// Returns true if the first argument asks for the right version.
inline bool wants_fixed(int argc, char** argv) {
    return argc > 1 && std::string_view(argv[1]) == "fixed";
}
