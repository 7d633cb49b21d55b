// Exercise 02.3: ask less and less often, while nothing happens.
#pragma once

#include <algorithm>
#include <chrono>

namespace polling {

/// How long a polling server should sleep after each turn: the cheap cure for
/// the burnt core. While bytes move it never sleeps; when they stop it naps,
/// longer each time. The price is the delay of whoever speaks first, and a few
/// wake-ups a second for nothing.
class Nap {
public:
    static constexpr std::chrono::microseconds shortest{50};
    static constexpr std::chrono::microseconds longest{10'000};

    /// To be asked after every turn. `made_progress` says whether the turn moved any
    /// byte. Returns how long to sleep now: not at all if it did; otherwise
    /// `shortest` after the first turn without a byte, twice as long after each
    /// further one, and never more than `longest`.
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
