// A loop with a simulated clock, for tests of promises and time.
#pragma once

#include <chrono>

#include "chapters/05-callback-loop/clock.hpp"
#include "chapters/06-promises/io.hpp"

namespace testing {

/// The loop, its clock, and the time since the start.
struct World {
    callbacks::SimulatedClock clock;
    callbacks::TimePoint start = clock.now();
    promises::Io io{clock};

    [[nodiscard]] std::chrono::milliseconds time() const {
        return std::chrono::duration_cast<std::chrono::milliseconds>(clock.now() - start);
    }
};

}  // namespace testing
