// Exercise 05.3: a timer that repeats, on a clock that jumps.
#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "chapters/05-callback-loop/event_loop.hpp"
#include "chapters/05-callback-loop/exercises/repeating_timer.hpp"
#include "tests/05-callback-loop/witness.hpp"

namespace {

using callbacks::Duration;
using callbacks::EventLoop;
using callbacks::RepeatingTimer;
using callbacks::SimulatedClock;
using callbacks::TimePoint;
using testing::Witness;
using namespace std::chrono_literals;

/// A loop on a clock that jumps, with a timer that ticks every 100 ms.
class Ticking {
public:
    /// At each tick the time is logged; then it calls `more`.
    explicit Ticking(std::function<void(Ticking&)> more = [](Ticking&) {})
        : more_(std::move(more)) {
        ticker.emplace(loop, 100ms, [this] {
            times_ += (times_.empty() ? "" : " ") + std::to_string((loop.now() - start_) / 1ms);
            if (++ticks == 9) loop.stop();  // it should have been stopped long ago
            more_(*this);
        });
    }

    /// Lets the loop run until that time. Returns when it ticked meanwhile: "100 200".
    std::string run_until(Duration end) {
        loop.call_at(start_ + end, [this] { loop.stop(); });
        return run();
    }
    std::string run() {
        times_.clear();
        loop.run();
        return times_;
    }

    SimulatedClock clock;
    EventLoop loop{clock};
    std::optional<RepeatingTimer> ticker;
    int ticks = 0;

private:
    std::function<void(Ticking&)> more_;
    TimePoint start_ = loop.now();
    std::string times_;
};

}  // namespace

TEST_CASE("05.3 a timer ticks once a period, first after one period") {
    Ticking ticking;
    INFO("a timer repeats every 100 ms; the loop ran for 450 ms");
    const std::string times = ticking.run_until(450ms);
    CHECK_MESSAGE(times == "100 200 300 400", "expected: 100 200 300 400; it ticked at ", times);
}

TEST_CASE("05.3 the time that a callback takes does not add up") {
    Ticking ticking([](Ticking& self) { self.clock.advance(30ms); });
    INFO("a timer repeats every 100 ms, and each time its callback takes 30 ms");
    const std::string times = ticking.run_until(550ms);
    CHECK_MESSAGE(times == "100 200 300 400 500", "expected: 100 200 300 400 500; it ticked at ",
                  times,
                  ". That is a drift. The next tick is a period after this one was due, not after "
                  "this one was done, nor after it was called (docs/05-callback-loop.md, Step 2)");
}

TEST_CASE("05.3 missed ticks are not made up for") {
    SUBCASE("another callback holds the loop up") {
        Ticking ticking;
        INFO("a timer repeats every 100 ms; at 150 ms another callback computed for 300 ms");
        ticking.loop.call_later(150ms, [&ticking] { ticking.clock.advance(300ms); });
        const std::string times = ticking.run_until(650ms);
        CHECK_MESSAGE(times == "100 450 500 600", "expected: 100 450 500 600; it ticked at ", times,
                      ". The ticks for 200, 300 and 400 become one, late: making up for all of "
                      "them would cost time just when there is none");
    }
    SUBCASE("its own callback takes longer than a period") {
        Ticking ticking([](Ticking& self) {
            if (self.ticks == 1) self.clock.advance(250ms);
        });
        INFO("a timer repeats every 100 ms; the first time its callback took 250 ms");
        const std::string times = ticking.run_until(550ms);
        CHECK_MESSAGE(times == "100 350 400 500", "expected: 100 350 400 500; it ticked at ", times,
                      ". The ticks for 200 and 300 become one, late, as soon as the loop is free; "
                      "the next is at a multiple of the period again");
    }
}

TEST_CASE("05.3 a cancelled timer ticks no more, and destroys its callback") {
    SimulatedClock clock;
    EventLoop loop(clock);
    const auto owned = std::make_shared<int>();
    int ticks = 0;
    RepeatingTimer ticker(loop, 100ms, [owned, &ticks] { ++ticks; });
    INFO("a timer repeats every 100 ms; at 250 ms it was cancelled");
    loop.call_later(250ms, [&ticker] { ticker.cancel(); });
    loop.call_later(1s, [&loop] { loop.stop(); });
    loop.run();
    CHECK_MESSAGE(ticks == 2, "it should have ticked at 100 ms and at 200 ms; it ticked ", ticks,
                  " times in all");
    CHECK_MESSAGE(owned.use_count() == 1,
                  "what its callback owned still exists: a cancelled timer no longer needs its "
                  "callback, which may own a whole connection");
    ticker.cancel();
    CHECK_MESSAGE(true, "cancelling twice is harmless");
}

TEST_CASE("05.3 a timer can be cancelled from inside its own callback") {
    Ticking ticking([](Ticking& self) {
        if (self.ticks == 2) self.ticker->cancel();
    });
    INFO(
        "a timer repeats every 100 ms; when it ticked for the second time, its callback cancelled "
        "it");
    const std::string times = ticking.run();
    CHECK_MESSAGE(times == "100 200", "expected: 100 200; it ticked at ", times,
                  ". While the callback runs, which timer is there to be cancelled?");
}

TEST_CASE("05.3 a callback that throws does not end the timer") {
    Ticking ticking([](Ticking& self) {
        if (self.ticks == 2) throw std::runtime_error("as arranged");
    });
    INFO("a timer repeats every 100 ms; when it ticked for the second time, its callback threw");
    CHECK_THROWS_AS(ticking.run(), std::runtime_error);
    INFO("run() was called again");
    const std::string times = ticking.run_until(450ms);
    CHECK_MESSAGE(times == "300 400", "expected: 300 400; it ticked at ", times,
                  ". The code after a callback may never be reached: set the next tick before it");
}

TEST_CASE("05.3 a destroyed timer is cancelled") {
    Ticking ticking;
    INFO("a timer repeats every 100 ms; at 250 ms it was destroyed, and nothing else was left");
    ticking.loop.call_later(250ms, [&ticking] { ticking.ticker.reset(); });
    const std::string times = ticking.run();
    CHECK_MESSAGE(times == "100 200", "expected: 100 200; it ticked at ", times);
}

TEST_CASE("05.3 a timer can be destroyed from inside its own callback") {
    SimulatedClock clock;
    EventLoop loop(clock);
    bool gone = false;
    int ticks = 0;
    std::optional<RepeatingTimer> ticker;
    INFO("a timer's callback owned something, and destroyed its own timer while it ran");
    ticker.emplace(loop, 100ms, [&, owned = std::make_shared<Witness>(gone)] {
        const bool& too_early = owned->gone();
        if (++ticks == 9) loop.stop();  // it should have been stopped long ago
        ticker.reset();
        CHECK_MESSAGE(!too_early,
                      "what it owned was destroyed while it ran: the next line of the callback "
                      "would read what no longer exists");
    });
    loop.run();
    CHECK_MESSAGE(ticks == 1, "it was destroyed at its first tick; it ticked ", ticks, " times");
    CHECK_MESSAGE(gone, "the timer is gone, so what its callback owned should be gone too");
}
