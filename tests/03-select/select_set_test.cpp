// The question that select() is asked, and its answer.
#include <doctest/doctest.h>

#include <chrono>
#include <thread>

#include "chapters/03-select/select_set.hpp"
#include "tests/support/interruptions.hpp"
#include "tests/support/socket_pair.hpp"
#include "tests/support/test.hpp"

namespace {

using namespace std::chrono_literals;
using selecting::SelectSet;
using support::SocketPair;

/// Waits with a descriptor in the set that is ready, so this returns at once.
void ask(SelectSet& set) {
    support::waiting_for(
        "wait() to return: a descriptor is ready. Was select(2) asked about the one with the "
        "highest number? It wants that number plus one (docs/03-select.md)");
    set.wait(0ms);
}

TEST_CASE("03.1 only a readable descriptor is ready for reading") {
    const SocketPair talks;
    const SocketPair silent;
    talks.say("x");
    SelectSet set;
    set.add_reader(talks.ours.fd());
    set.add_reader(silent.ours.fd());
    ask(set);
    CHECK(set.is_ready(talks.ours.fd()));
    CHECK_FALSE(set.is_ready(silent.ours.fd()));
}

TEST_CASE("03.1 the descriptors may be added in any order") {
    const SocketPair silent;
    const SocketPair talks;
    talks.say("x");
    SelectSet set;
    set.add_reader(talks.ours.fd());  // the highest number
    set.add_reader(silent.ours.fd());
    ask(set);
    CHECK(set.is_ready(talks.ours.fd()));
    CHECK_FALSE(set.is_ready(silent.ours.fd()));
}

TEST_CASE("03.1 only a descriptor with room is ready for writing") {
    const SocketPair empty;
    const SocketPair full;
    SocketPair::fill(full.ours.fd());
    SelectSet set;
    set.add_writer(empty.ours.fd());
    set.add_writer(full.ours.fd());
    ask(set);
    CHECK_MESSAGE(set.is_ready(empty.ours.fd()),
                  "a writer with room is ready: select(2) writes two sets");
    CHECK_FALSE(set.is_ready(full.ours.fd()));
}

TEST_CASE("03.1 a closed connection is ready: the next read returns 0") {
    SocketPair pair;
    pair.theirs.close();
    SelectSet set;
    set.add_reader(pair.ours.fd());
    ask(set);
    CHECK(set.is_ready(pair.ours.fd()));
}

TEST_CASE("03.1 a descriptor that was not added is not ready") {
    const SocketPair asked;
    const SocketPair other;
    asked.say("x");
    other.say("x");
    SelectSet set;
    set.add_reader(asked.ours.fd());
    ask(set);
    CHECK_FALSE(set.is_ready(other.ours.fd()));
}

TEST_CASE("03.1 a wait ends at its timeout, not before") {
    const SocketPair silent;
    SelectSet set;
    set.add_reader(silent.ours.fd());
    const auto began = std::chrono::steady_clock::now();
    set.wait(100ms);
    CHECK_MESSAGE(std::chrono::steady_clock::now() - began >= 100ms,
                  "no byte came, and the wait of 100 ms was over too early. In a timeval, tv_usec "
                  "counts microseconds");
    CHECK_FALSE(set.is_ready(silent.ours.fd()));
}

TEST_CASE("03.1 without a timeout, wait() sleeps until a byte comes") {
    const SocketPair pair;
    std::thread sender([&pair] {
        std::this_thread::sleep_for(20ms);
        pair.say("x");
    });
    SelectSet set;
    set.add_reader(pair.ours.fd());
    support::waiting_for("wait(0ms), which means: without a timeout");
    set.wait(0ms);
    const bool ready = set.is_ready(pair.ours.fd());
    sender.join();
    CHECK_MESSAGE(ready,
                  "wait(0ms) returned before any byte had come. Zero means \"no timeout\" here; "
                  "to select(2) it means \"do not sleep\"");
}

TEST_CASE("03.1 after a signal, no descriptor is ready") {
    const support::Interruptions interruptions;
    const SocketPair silent;
    SelectSet set;
    set.add_reader(silent.ours.fd());
    CHECK_NOTHROW_MESSAGE(set.wait(0ms), "EINTR is no failure: a signal came first");
    CHECK_MESSAGE(!set.is_ready(silent.ours.fd()),
                  "after an error the sets of select() are no answer (select(2)): they still hold "
                  "the question");
}

TEST_CASE("03.1 a set can hold the numbers 0 to 1023, and no others") {
    CHECK(SelectSet::can_hold(0));
    CHECK(SelectSet::can_hold(1023));
    CHECK_MESSAGE(!SelectSet::can_hold(1024),
                  "FD_SET beyond 1023 writes over other memory "
                  "(docs/03-select.md)");
}

}  // namespace
