// Exercise 02.3: poll less often while nothing happens.
#pragma once

#include <algorithm>
#include <chrono>

namespace polling {

/// Decides how long a polling server sleeps after each turn, so that it does
/// not burn a core. While bytes move it does not sleep at all; when they stop,
/// each sleep is longer than the last. The price is a delay for the client that
/// sends first, and some needless wake-ups every second.
class Nap {
public:
    static constexpr std::chrono::microseconds shortest{50};
    static constexpr std::chrono::microseconds longest{10'000};

    /// Returns how long to sleep after this turn. Call it once per turn;
    /// `made_progress` says whether any byte moved. The result is zero if so.
    /// Otherwise it is `shortest` after the first idle turn and doubles with
    /// each further idle turn, up to `longest`.
    std::chrono::microseconds after_turn(bool made_progress) {
        using std::chrono::microseconds;
        const microseconds now = made_progress ? microseconds(0) : next_;
        next_ = made_progress ? shortest : std::min(2 * next_, longest);
        return now;
    }

private:
    std::chrono::microseconds next_ = shortest;
};

}  // namespace polling
