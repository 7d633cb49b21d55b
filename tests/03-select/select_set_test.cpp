// One question to the kernel, and its answer.
#include <doctest/doctest.h>

#include <chrono>

#include "chapters/03-select/select_set.hpp"
#include "tests/support/interruptions.hpp"
#include "tests/support/socket_pair.hpp"
#include "tests/support/test.hpp"

namespace {

using namespace std::chrono_literals;
using selecting::SelectSet;
using support::SocketPair;

/// Somebody is ready, so this returns at once.
void ask(SelectSet& set) {
    support::waiting_for(
        "wait() to return, although somebody is ready: was select(2) asked about the one with the "
        "highest number? It wants that number plus one (docs/03-select.md)");
    set.wait(0ms);
}

TEST_CASE("03.1 who can be read from is ready, who cannot is not") {
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

TEST_CASE("03.1 who can be written to is ready, who is full is not") {
    const SocketPair empty;
    const SocketPair full;
    SocketPair::fill(full.ours.fd());
    SelectSet set;
    set.add_writer(empty.ours.fd());
    set.add_writer(full.ours.fd());
    ask(set);
    CHECK(set.is_ready(empty.ours.fd()));
    CHECK_FALSE(set.is_ready(full.ours.fd()));
}

TEST_CASE("03.1 somebody who has gone is ready: the next read says so") {
    SocketPair pair;
    pair.theirs.close();
    SelectSet set;
    set.add_reader(pair.ours.fd());
    ask(set);
    CHECK(set.is_ready(pair.ours.fd()));
}

TEST_CASE("03.1 who was not asked about is not ready") {
    const SocketPair asked;
    const SocketPair other;
    asked.say("x");
    other.say("x");
    SelectSet set;
    set.add_reader(asked.ours.fd());
    ask(set);
    CHECK_FALSE(set.is_ready(other.ours.fd()));
}

TEST_CASE("03.1 a time-out ends a wait in which nothing happens, and not before") {
    const SocketPair silent;
    SelectSet set;
    set.add_reader(silent.ours.fd());
    const auto began = std::chrono::steady_clock::now();
    set.wait(20ms);
    CHECK(std::chrono::steady_clock::now() - began >= 20ms);
    CHECK_FALSE(set.is_ready(silent.ours.fd()));
}

TEST_CASE("03.1 a signal ends a wait early, and nobody is ready") {
    const support::Interruptions interruptions;
    const SocketPair silent;
    SelectSet set;
    set.add_reader(silent.ours.fd());
    set.wait(0ms);  // without a time-out: only the signal can end it

    CHECK_MESSAGE(!set.is_ready(silent.ours.fd()),
                  "after an error the sets of select() are undefined (select(2)): they must not be "
                  "taken for an answer");
}

TEST_CASE("03.1 it can hold the numbers 0 to 1023, and no other") {
    CHECK(SelectSet::can_hold(0));
    CHECK(SelectSet::can_hold(1023));
    CHECK_MESSAGE(!SelectSet::can_hold(1024),
                  "FD_SET beyond 1023 writes over other memory "
                  "(docs/03-select.md)");
}

}  // namespace
