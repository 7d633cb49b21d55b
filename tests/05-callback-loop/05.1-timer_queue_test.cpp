// Exercise 05.1: the timer queue, without a loop and without a clock: the test
// sets the time.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "chapters/05-callback-loop/timer_queue.hpp"
#include "tests/05-callback-loop/witness.hpp"
#include "tests/support/test.hpp"

namespace {

using callbacks::Callback;
using callbacks::TimePoint;
using callbacks::TimerHandle;
using callbacks::TimerQueue;
using testing::Witness;

TimePoint at(int second) {
    return TimePoint(std::chrono::seconds(second));
}

/// Returns when the first timer is due: "3 s", or "never".
std::string next_deadline(const TimerQueue& queue) {
    if (queue.next_deadline() == callbacks::no_deadline) return "never";
    return std::to_string(queue.next_deadline().time_since_epoch() / std::chrono::seconds(1)) +
           " s";
}

/// A queue of timers that have names.
class Timers {
public:
    /// When it fires, its name is logged; then it calls `more`.
    TimerHandle set(const std::string& name, int second, const Callback& more = [] {}) {
        return queue.set(at(second), [this, name, more] {
            fired_ += (fired_.empty() ? "" : " ") + name;
            more();
        });
    }

    /// Fires the timers that are due at that second. Returns their names, in order.
    std::string fire(int second) {
        fired_.clear();
        int calls = 0;
        queue.fire(at(second), [&calls](const Callback& callback) {
            REQUIRE_MESSAGE(
                ++calls <= 100,
                "fire() has called 100 timers, and continues: one that is set meanwhile has to "
                "wait for the next fire(), even if it is due. Otherwise no other callback ever "
                "runs (docs/05-callback-loop.md, Step 2)");
            callback();
        });
        return fired_;
    }

    /// Returns the names of the timers that fired since fire() was last called, for when it throws.
    [[nodiscard]] const std::string& fired() const { return fired_; }

    TimerQueue queue;

private:
    std::string fired_;
};

}  // namespace

TEST_CASE("05.1 timers fire by time, and at the same time in the order in which they were set") {
    Timers timers;
    INFO("we set a for 3 s, b for 1 s, c for 2 s, d for 1 s, e for 1 s, and fired at 3 s");
    timers.set("a", 3);
    timers.set("b", 1);
    timers.set("c", 2);
    timers.set("d", 1);
    timers.set("e", 1);
    const std::string fired = timers.fire(3);
    CHECK_MESSAGE(fired.size() == 9, "all five should have fired; what fired: ", fired,
                  ". Timers that are due at the same instant are still different timers");
    CHECK_MESSAGE(fired == "b d e c a", "expected: b d e c a; what fired: ", fired,
                  ". At the same instant, the timer that was set first fires first");
}

TEST_CASE("05.1 a timer fires when it is due, not before, and once") {
    Timers timers;
    INFO("we set a for 2 s, and fired at 1 s, at 2 s, and at 3 s");
    timers.set("a", 2);
    CHECK_MESSAGE(timers.fire(1).empty(), "at 1 s it was not due yet");
    CHECK_MESSAGE(timers.fire(2) == "a", "at 2 s it was due: a timer for 2 s is due at 2 s");
    CHECK_MESSAGE(timers.fire(3).empty(), "at 3 s it had fired already");
}

TEST_CASE("05.1 the queue knows when the first timer is due") {
    TimerQueue queue;
    CHECK_MESSAGE(queue.empty(), "nothing was set yet");
    CHECK_MESSAGE(next_deadline(queue) == "never", "nothing was set: it is callbacks::no_deadline");
    INFO("we set a timer for 5 s, and one for 3 s");
    const TimerHandle late = queue.set(at(5), [] {});
    const TimerHandle early = queue.set(at(3), [] {});
    CHECK_FALSE(queue.empty());
    CHECK(next_deadline(queue) == "3 s");
    INFO("then we cancelled the one for 3 s");
    queue.cancel(early);
    CHECK_MESSAGE(next_deadline(queue) == "5 s", "a cancelled timer is not waited for any more");
    INFO("then the other one");
    queue.cancel(late);
    CHECK_MESSAGE(queue.empty(), "both are cancelled: nothing is left");
    CHECK(next_deadline(queue) == "never");
}

TEST_CASE("05.1 a timer that is set by a timer waits for the next fire(), even if it is due") {
    Timers timers;
    INFO("a is due at 1 s, b at 3 s. When a fires, it sets x for 0 s, y for 1 s and z for 2 s");
    timers.set("a", 1, [&timers] {
        timers.set("y", 1);
        timers.set("z", 2);
        timers.set("x", 0);
    });
    timers.set("b", 3);
    INFO("we fired at 5 s");
    const std::string first = timers.fire(5);
    CHECK_MESSAGE(first == "a b", "expected: a b; what fired: ", first,
                  ". x, y and z were set while timers fired: they have to wait for the next time");
    INFO("and once more at 5 s");
    const std::string second = timers.fire(5);
    CHECK_MESSAGE(second == "x y z", "expected: x y z; what fired: ", second);
}

TEST_CASE("05.1 a timer that sets itself again, due at once, does not fire forever") {
    Timers timers;
    Callback again = [&timers, &again] { timers.set("a", 0, again); };
    INFO("a is due at once; whenever it fires, it sets itself again. We fired twice");
    again();
    const std::string first = timers.fire(0);
    const std::string second = timers.fire(0);
    CHECK(first == "a");
    CHECK(second == "a");
}

TEST_CASE("05.1 a cancelled timer does not fire, and leaves nothing behind") {
    TimerQueue queue;
    const auto owned = std::make_shared<int>();
    bool fired = false;
    INFO("a timer's callback owned something; we cancelled the timer");
    const TimerHandle timer = queue.set(at(1), [owned, &fired] { fired = true; });
    CHECK_MESSAGE(queue.cancel(timer), "it was there: cancel() should return true");
    CHECK_MESSAGE(owned.use_count() == 1,
                  "what its callback owned should be gone at once. With a timeout for each "
                  "request, nearly all timers are cancelled: entries that are kept until they are "
                  "due are garbage, and a lot of it (docs/05-callback-loop.md, Step 2)");
    CHECK_MESSAGE(!queue.cancel(timer), "the second time there is nothing to cancel");
    queue.fire(at(1), [](const Callback& callback) { callback(); });
    CHECK_FALSE(fired);
}

TEST_CASE("05.1 a timer cancels another one that is due at the same instant") {
    Timers timers;
    TimerHandle third;
    bool was_there = false;
    INFO("a, b, c and d are due at 1 s; when a fires, it cancels c");
    timers.set("a", 1, [&] { was_there = timers.queue.cancel(third); });
    timers.set("b", 1);
    third = timers.set("c", 1);
    timers.set("d", 1);
    const std::string fired = timers.fire(1);
    CHECK_MESSAGE(fired == "a b d", "expected: a b d; what fired: ", fired,
                  ". A callback may change the queue: take one timer out, call it, and then look "
                  "again (docs/05-callback-loop.md, Step 2)");
    CHECK_MESSAGE(was_there, "c had not fired yet: cancel() should return true");
}

TEST_CASE("05.1 a timer that cancels itself while it fires is too late, but safe") {
    TimerQueue queue;
    TimerHandle self;
    bool gone = false;
    INFO("a timer's callback owned something, and cancelled its own timer while it ran");
    self = queue.set(at(1), [&queue, &self, owned = std::make_shared<Witness>(gone)] {
        const bool& too_early = owned->gone();
        const bool was_there = queue.cancel(self);
        CHECK_MESSAGE(!too_early,
                      "what it owned was destroyed while it ran: the next line of the callback "
                      "would read what no longer exists");
        CHECK_MESSAGE(!was_there, "it has fired already: cancel() should return false");
    });
    queue.fire(at(1), [](const Callback& callback) { callback(); });
    CHECK_MESSAGE(gone, "it has fired: what it owned should be gone now");
}

TEST_CASE("05.1 a timer that throws has fired; the timers behind it still fire") {
    Timers timers;
    bool thrown = false;
    INFO("a, b and c are due at 1 s; b throws, and the exception leaves fire()");
    timers.set("a", 1);
    timers.set("b", 1, [&thrown] {
        if (!std::exchange(thrown, true)) throw std::runtime_error("as arranged");
    });
    timers.set("c", 1);
    CHECK_THROWS_AS(timers.fire(1), std::runtime_error);
    CHECK(timers.fired() == "a b");
    INFO("we fired again");
    const std::string rest = timers.fire(1);
    CHECK_MESSAGE(rest.find('b') == std::string::npos,
                  "b fired again: it has to be out of the queue before it is called");
    CHECK_MESSAGE(rest.find('c') != std::string::npos,
                  "c never fired: an exception must not remove other timers");
    CHECK(rest == "c");
}

TEST_CASE("05.1 the handle of a timer that has fired never names another one") {
    Timers timers;
    INFO("a was due at 1 s, and has fired; then b was set, also for 1 s");
    const TimerHandle first = timers.set("a", 1);
    timers.fire(1);
    timers.set("b", 1);
    CHECK_MESSAGE(
        !timers.queue.cancel(first),
        "cancelling a should find nothing: an old handle must not hit a timer that was set later");
    CHECK_MESSAGE(!timers.queue.cancel(TimerHandle{}), "TimerHandle{} names no timer");
    CHECK_MESSAGE(timers.fire(1) == "b", "b should fire: it was not cancelled");
}

TEST_CASE("05.1 cancel_all() cancels all timers") {
    Timers timers;
    const auto owned = std::make_shared<int>();
    INFO("we set three timers, and cancelled all");
    for (int second = 1; second <= 3; ++second) timers.set("a", second, [owned] {});
    timers.queue.cancel_all();
    CHECK_MESSAGE(owned.use_count() == 1, "what their callbacks owned should be gone");
    CHECK(timers.queue.empty());
    CHECK(timers.fire(3).empty());
    timers.set("b", 1);
    CHECK_MESSAGE(timers.fire(1) == "b", "afterwards the queue can be used as before");
}

TEST_CASE("05.1 what a callback owns may cancel other timers when it is destroyed") {
    TimerQueue queue;
    std::string log;
    TimerHandle next;
    const auto connection = [&] { return testing::at_the_end([&] { queue.cancel(next); }); };
    SUBCASE("after it was called") {
        INFO("timer a is called; then its callback is destroyed, and what it owns cancels timer b");
        queue.set(at(1), [&log, owned = connection()] { log += 'a'; });
        next = queue.set(at(1), [&log] { log += 'b'; });
        queue.set(at(2), [&log] { log += 'c'; });
        queue.fire(at(3), [](const Callback& callback) { callback(); });
        CHECK_MESSAGE(log == "ac", "destroy the callback first, and then look for the next timer");
    }
    SUBCASE("when its own timer is cancelled") {
        INFO("timer a is cancelled; what its callback owns cancels timer b");
        const TimerHandle a = queue.set(at(1), [owned = connection()] {});
        next = queue.set(at(1), [&log] { log += 'b'; });
        CHECK(queue.cancel(a));
        CHECK(queue.empty());
    }
    SUBCASE("by cancel_all()") {
        INFO(
            "cancel_all() destroys the callbacks; what the first one owns cancels the second "
            "timer");
        queue.set(at(1), [owned = connection()] {});
        next = queue.set(at(1), [] {});
        queue.cancel_all();
        CHECK(queue.empty());
    }
}

TEST_CASE("05.1 100,000 timers, of which every tenth is left to fire") {
    constexpr int count = 100'000;
    TimerQueue queue;
    const auto owned = std::make_shared<int>();
    std::vector<TimerHandle> timers;
    std::vector<int> fired;
    INFO("we set 100,000 timers, in no order in particular, and cancelled nine of ten");
    support::waiting_for(
        "100,000 timers to be set, cancelled and fired. Each should cost O(log n): a search "
        "through all of them each time takes longer than this test may");
    for (int i = 0; i < count; ++i) {
        const int second = static_cast<int>(i * 7919L % count);
        timers.push_back(
            queue.set(at(second), [&fired, owned, second] { fired.push_back(second); }));
    }
    for (int i = 0; i < count; ++i) {
        if (i % 10 != 0) queue.cancel(timers[static_cast<std::size_t>(i)]);
    }
    CHECK_MESSAGE(owned.use_count() == count / 10 + 1, "nine of ten should be gone");
    queue.fire(at(count), [](const Callback& callback) { callback(); });
    CHECK(fired.size() == count / 10);
    CHECK_MESSAGE(std::ranges::is_sorted(fired), "they should have fired by time");
    CHECK_MESSAGE(owned.use_count() == 1, "all have fired or were cancelled: nothing is left");
}
