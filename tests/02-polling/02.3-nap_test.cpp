// Exercise 02.3: how long to sleep after a turn.
#include <doctest/doctest.h>

#include <chrono>

#include "chapters/02-polling/exercises/nap.hpp"

namespace {

using namespace std::chrono_literals;
using polling::Nap;

/// Returns the result in microseconds, as a number that doctest can print.
long turn(Nap& nap, bool made_progress) {
    return nap.after_turn(made_progress).count();
}

}  // namespace

TEST_CASE("02.3 while bytes move, it never sleeps") {
    Nap nap;
    for (int i = 0; i < 10; ++i) {
        CHECK_MESSAGE(turn(nap, true) == 0, "bytes moved, so more may have come already: no sleep");
    }
}

TEST_CASE("02.3 each idle turn sleeps twice as long as the last") {
    Nap nap;
    long expected = Nap::shortest.count();
    for (int idle = 1; idle <= 7; ++idle, expected *= 2) {
        const long slept = turn(nap, false);
        CHECK_MESSAGE(slept == expected, "after idle turn ", idle, " in a row, ", expected,
                      " microseconds were expected; the result was ", slept);
    }
}

TEST_CASE("02.3 the sleep has an upper limit, since a client may send at any time") {
    Nap nap;
    for (int idle = 1; idle <= 100; ++idle) {
        const long slept = turn(nap, false);
        REQUIRE_MESSAGE(slept >= 0, "idle turn ", idle, ": ", slept,
                        " microseconds? A number doubled 100 times overflows");
        REQUIRE_MESSAGE(slept <= Nap::longest.count(), "idle turn ", idle, ": it slept ", slept,
                        " microseconds; the longest nap is ", Nap::longest.count());
    }
    CHECK_MESSAGE(turn(nap, false) == Nap::longest.count(),
                  "after a long silence every nap is the longest");
}

TEST_CASE("02.3 after the first byte it starts again with the shortest nap") {
    Nap nap;
    for (int idle = 0; idle < 20; ++idle) turn(nap, false);
    INFO("after 20 idle turns one turn moved bytes, and then came another idle one");
    CHECK_MESSAGE(turn(nap, true) == 0, "bytes moved: no sleep");
    CHECK_MESSAGE(turn(nap, false) == Nap::shortest.count(),
                  "a client that has just sent may send more: start again with the shortest nap");
}
