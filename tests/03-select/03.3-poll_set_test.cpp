// Exercise 03.3: the interface of chapter 03's SelectSet, on top of poll(2).
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <thread>

#include "chapters/03-select/exercises/poll_set.hpp"
#include "tests/support/interruptions.hpp"
#include "tests/support/socket_pair.hpp"
#include "tests/support/test.hpp"

namespace {

using namespace std::chrono_literals;
using selecting::PollSet;
using support::SocketPair;

}  // namespace

TEST_CASE("03.3 only a readable descriptor is ready for reading") {
    const SocketPair talks;
    const SocketPair silent;
    talks.say("x");
    PollSet set;
    set.add_reader(silent.ours.fd());
    set.add_reader(talks.ours.fd());
    set.wait(0ms);
    CHECK(set.is_ready(talks.ours.fd()));
    CHECK_MESSAGE(!set.is_ready(silent.ours.fd()), "this one was added and is silent");
    CHECK_MESSAGE(!set.is_ready(talks.theirs.fd()), "this descriptor was never added");
}

TEST_CASE("03.3 only a descriptor with room is ready for writing") {
    const SocketPair empty;
    const SocketPair full;
    SocketPair::fill(full.ours.fd());
    PollSet set;
    set.add_writer(empty.ours.fd());
    set.add_writer(full.ours.fd());
    set.wait(0ms);
    CHECK_MESSAGE(set.is_ready(empty.ours.fd()), "this one has room, and that was asked about");
    CHECK_FALSE(set.is_ready(full.ours.fd()));
}

TEST_CASE("03.3 a broken connection is ready, although errors were not asked about") {
    std::array<int, 2> ends{};
    common::check(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), "a test needs a pipe");
    common::Descriptor reading(ends[0]);
    const common::Descriptor writing(ends[1]);
    SocketPair::fill(writing.fd());
    reading.close();
    INFO("a pipe is full and its reading end is closed: poll(2) returns POLLERR, not POLLOUT");
    PollSet set;
    set.add_writer(writing.fd());
    set.wait(1ms);
    CHECK_MESSAGE(set.is_ready(writing.fd()),
                  "a broken connection counts as ready: the next write returns EPIPE. Otherwise "
                  "the server would keep that connection forever");
}

TEST_CASE("03.3 a descriptor that was not added is not ready, whatever its number") {
    const SocketPair pair;
    pair.say("x");
    PollSet set;
    set.add_reader(pair.ours.fd());
    set.wait(0ms);
    for (const int number : {0, pair.ours.fd() - 1, pair.ours.fd() + 1, 500, 100'000}) {
        CHECK_MESSAGE(!set.is_ready(number), "the set was not asked about descriptor ", number);
    }
}

TEST_CASE("03.3 a descriptor above 1023 can be watched") {
    const SocketPair pair;
    const common::Descriptor high(::fcntl(pair.ours.fd(), F_DUPFD_CLOEXEC, 2000));
    if (!high) return support::skip("this test needs a descriptor with the number 2000");
    pair.say("x");
    PollSet set;
    set.add_reader(high.fd());
    set.wait(0ms);
    CHECK(PollSet::can_hold(high.fd()));
    CHECK(set.is_ready(high.fd()));
}

TEST_CASE("03.3 a wait ends at its timeout, not before") {
    const SocketPair silent;
    PollSet set;
    set.add_reader(silent.ours.fd());
    const auto began = std::chrono::steady_clock::now();
    set.wait(20ms);
    CHECK_MESSAGE(std::chrono::steady_clock::now() - began >= 20ms,
                  "no byte came, and the wait of 20 ms was over too early: poll(2) counts in "
                  "milliseconds");
    CHECK_FALSE(set.is_ready(silent.ours.fd()));
}

TEST_CASE("03.3 without a timeout, wait() sleeps until a byte comes") {
    const SocketPair pair;
    std::thread sender([&pair] {
        std::this_thread::sleep_for(20ms);
        pair.say("x");
    });
    PollSet set;
    set.add_reader(pair.ours.fd());
    support::waiting_for("wait(0ms), which means: without a timeout");
    set.wait(0ms);
    const bool ready = set.is_ready(pair.ours.fd());
    sender.join();
    CHECK_MESSAGE(ready,
                  "wait(0ms) returned before any byte had come. Zero means \"no timeout\" "
                  "here; to poll(2) it means \"do not sleep\"");
}

TEST_CASE("03.3 after a signal, no descriptor is ready") {
    const support::Interruptions interruptions;
    const SocketPair silent;
    PollSet set;
    set.add_reader(silent.ours.fd());
    support::waiting_for("wait() to return. A signal ends the wait");
    CHECK_NOTHROW_MESSAGE(set.wait(0ms), "EINTR is no failure: a signal came first");
    CHECK_MESSAGE(!set.is_ready(silent.ours.fd()),
                  "after an error no descriptor counts as ready: poll(2) gave no answer");
}
