// Readers and writers, and what they do to each other within one batch of events.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "chapters/05-callback-loop/event_loop.hpp"
#include "tests/05-callback-loop/pair.hpp"

using callbacks::EventLoop;
using callbacks::SimulatedClock;
using testing::Pair;
using namespace std::chrono_literals;

namespace {

/// Calls `check` when the turns of the loop that have begun are over.
void after_two_turns(EventLoop& loop, std::function<void()> check) {
    loop.call_soon([&loop, check = std::move(check)] { loop.call_soon(check); });
}

}  // namespace

TEST_CASE(
    "a reader is called as long as there is something to read, a writer while there is room") {
    SimulatedClock clock;
    EventLoop loop(clock);
    const Pair pair;
    testing::write_all(pair.theirs.fd(), "abc");
    std::string got;
    int room = 0;
    loop.add_reader(pair.ours.fd(), [&] {
        char byte = 0;
        REQUIRE(::read(pair.ours.fd(), &byte, 1) == 1);
        got += byte;
    });
    loop.add_writer(pair.ours.fd(), [&] {
        if (++room == 5) loop.remove_writer(pair.ours.fd());
    });
    loop.call_later(1s, [&] { loop.stop(); });  // on this clock: when nothing else happens
    loop.run();
    CHECK(got == "abc");
    CHECK(room == 5);
}

TEST_CASE("reader and writer of one descriptor are removed one by one") {
    SimulatedClock clock;
    EventLoop loop(clock);
    const Pair pair;
    testing::write_all(pair.theirs.fd(), "x");
    int reads = 0;
    int writes = 0;
    loop.add_reader(pair.ours.fd(), [&] { ++reads; });
    loop.add_writer(pair.ours.fd(), [&] { ++writes; });
    CHECK(loop.remove_reader(pair.ours.fd()));
    CHECK(!loop.remove_reader(pair.ours.fd()));
    after_two_turns(loop, [&] { loop.stop(); });
    loop.run();
    CHECK(reads == 0);
    CHECK(writes == 2);
    CHECK(loop.remove_writer(pair.ours.fd()));
    CHECK(!loop.remove_writer(pair.ours.fd()));
    loop.run();  // returns: no descriptor is watched any more
}

TEST_CASE("adding a reader again replaces the first") {
    SimulatedClock clock;
    EventLoop loop(clock);
    const Pair pair;
    testing::write_all(pair.theirs.fd(), "x");
    loop.add_reader(pair.ours.fd(), [] { FAIL("it was replaced"); });
    int calls = 0;
    loop.add_reader(pair.ours.fd(), [&] {
        ++calls;
        loop.remove_reader(pair.ours.fd());
    });
    loop.run();
    CHECK(calls == 1);
}

TEST_CASE("end of input and a broken connection make a reader ready") {
    SimulatedClock clock;
    EventLoop loop(clock);
    Pair pair;
    int calls = 0;
    loop.add_reader(pair.ours.fd(), [&] {
        ++calls;
        loop.remove_reader(pair.ours.fd());
    });
    SUBCASE("half-closed") {
        ::shutdown(pair.theirs.fd(), SHUT_WR);
    }
    SUBCASE("closed") {
        pair.theirs.close();
    }
    loop.run();
    CHECK(calls == 1);
}

TEST_CASE("a broken connection makes a writer ready") {
    SimulatedClock clock;
    EventLoop loop(clock);
    Pair pair;
    while (testing::write_all(pair.ours.fd(), "x")) {
    }  // no room any more
    int calls = 0;
    loop.add_writer(pair.ours.fd(), [&] {
        ++calls;
        loop.remove_writer(pair.ours.fd());
    });
    loop.call_soon([&] { pair.theirs.close(); });
    loop.run();
    CHECK(calls == 1);
}

TEST_CASE("a full pipe whose read end is closed makes its writer ready") {
    SimulatedClock clock;
    EventLoop loop(clock);
    std::array<int, 2> ends{};
    common::check(::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC), "cannot make a pipe");
    common::Descriptor read_end(ends[0]);
    const common::Descriptor write_end(ends[1]);
    const std::string block(4096, '#');
    while (::write(write_end.fd(), block.data(), block.size()) > 0) {
    }
    int calls = 0;
    loop.add_writer(write_end.fd(), [&] {  // reported by EPOLLERR alone
        ++calls;
        loop.remove_writer(write_end.fd());
    });
    loop.call_soon([&] { read_end.close(); });
    loop.run();
    CHECK(calls == 1);
}

TEST_CASE("a watcher that removes itself while it runs keeps what it owns until it returns") {
    SimulatedClock clock;
    EventLoop loop(clock);
    const Pair pair;
    testing::write_all(pair.theirs.fd(), "x");
    auto owned = std::make_shared<std::string>("still here, although the reader was removed");
    const std::weak_ptr<std::string> watch = owned;
    std::string said;
    const int fd = pair.ours.fd();

    SUBCASE("removed") {
        loop.add_reader(fd, [&, owned] {
            loop.remove_reader(fd);
            said = *owned;
        });
    }
    SUBCASE("replaced") {
        loop.add_reader(fd, [&, owned] {
            loop.add_reader(fd, [&] { loop.remove_reader(fd); });
            said = *owned;
        });
    }
    owned.reset();
    loop.run();
    CHECK(said == "still here, although the reader was removed");
    loop.call_soon([] {});
    loop.run();
    INFO("what a removed reader owns is destroyed in the next turn at the latest");
    CHECK(watch.expired());
}

TEST_CASE("a reader that removes another one of the same batch") {
    SimulatedClock clock;
    EventLoop loop(clock);
    const std::array<Pair, 5> pairs;
    int calls = 0;
    for (const Pair& pair : pairs) testing::write_all(pair.theirs.fd(), "x");
    for (const Pair& pair : pairs) {
        loop.add_reader(pair.ours.fd(), [&] {
            ++calls;
            for (const Pair& other : pairs) loop.remove_reader(other.ours.fd());
        });
    }
    loop.run();
    INFO("all five were ready at once; the first one called removed all of them");
    CHECK(calls == 1);
}

TEST_CASE("a reader that removes the writer of the same descriptor") {
    SimulatedClock clock;
    EventLoop loop(clock);
    const Pair pair;
    testing::write_all(pair.theirs.fd(), "x");
    const int fd = pair.ours.fd();
    loop.add_reader(fd, [&] {
        CHECK(loop.remove_writer(fd));
        CHECK(loop.remove_reader(fd));
    });
    loop.add_writer(fd, [] { FAIL("it was removed by the reader, called just before"); });
    loop.run();
}

TEST_CASE("a descriptor closed and its number reused within one batch") {
    SimulatedClock clock;
    EventLoop loop(clock);
    std::array<Pair, 2> old;
    for (const Pair& pair : old) testing::write_all(pair.theirs.fd(), "x");
    std::vector<Pair> fresh;
    int calls = 0;

    const auto replace_both = [&] {
        ++calls;
        const std::array numbers{old[0].ours.fd(), old[1].ours.fd()};
        for (Pair& pair : old) {
            loop.remove_reader(pair.ours.fd());
            pair.ours.close();
        }
        // The lowest free numbers are given first (open(2)): the new connection gets theirs.
        fresh.emplace_back();
        REQUIRE(fresh[0].ours.fd() == numbers[0]);
        REQUIRE(fresh[0].theirs.fd() == numbers[1]);
        for (const int fd : numbers) {
            loop.add_reader(fd, [] {
                FAIL(
                    "nothing came for the new connection: the event belongs to the old one, which "
                    "had the same number");
            });
        }
    };
    for (const Pair& pair : old) loop.add_reader(pair.ours.fd(), replace_both);
    loop.call_later(1s, [&] { loop.stop(); });
    loop.run();
    CHECK(calls == 1);
}

TEST_CASE("more descriptors are ready than one wait returns: all are called within two turns") {
    SimulatedClock clock;
    EventLoop loop(clock);
    constexpr std::size_t count = 300;  // a wait returns 256 at most
    std::vector<common::Descriptor> ready;
    std::vector<int> calls(count);
    for (std::size_t i = 0; i < count; ++i) {
        ready.emplace_back(::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC));
        REQUIRE(ready.back());
        loop.add_reader(ready.back().fd(), [&calls, i] { ++calls[i]; });
    }
    after_two_turns(loop, [&] { loop.stop(); });
    loop.run();
    INFO(
        "300 descriptors stayed ready for two turns; one that is always called first must not hide "
        "another one");
    CHECK(std::ranges::count(calls, 0) == 0);
}

TEST_CASE("a disk file cannot be watched: EPERM, and the loop stays as it was") {
    SimulatedClock clock;
    EventLoop loop(clock);
    const common::Descriptor file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    REQUIRE(file);
    CHECK_THROWS_AS(loop.add_reader(file.fd(), [] {}), std::system_error);
    CHECK(!loop.remove_reader(file.fd()));
    loop.run();  // returns: no descriptor is watched
}

TEST_CASE("a writer that epoll refuses leaves the reader of that descriptor as it was") {
    SimulatedClock clock;
    EventLoop loop(clock);
    Pair pair;
    const int fd = pair.ours.fd();
    bool called = false;
    loop.add_reader(fd, [&] {
        called = true;
        loop.stop();
    });
    testing::write_all(pair.theirs.fd(), "x");
    INFO("the number was closed, so epoll refuses it (EBADF); a duplicate keeps the connection");
    const common::Descriptor duplicate(::dup(fd));
    pair.ours.close();
    CHECK_THROWS_AS(loop.add_writer(fd, [] { FAIL("it was refused"); }), std::system_error);
    CHECK_FALSE(loop.remove_writer(fd));
    loop.call_later(1s, [&] { loop.stop(); });
    loop.run();
    CHECK_MESSAGE(called, "the reader is still there");
}

TEST_CASE("readers are served between timers and tasks that never end") {
    SimulatedClock clock;
    EventLoop loop(clock);
    const Pair pair;
    int pings = 0;
    std::function<void()> timer = [&] { loop.call_later(0s, timer); };
    std::function<void()> task = [&] { loop.call_soon(task); };
    timer();
    task();
    testing::write_all(pair.theirs.fd(), "x");
    const auto pass_on = [&](int fd) {
        if (++pings == 100) loop.stop();
        testing::write_all(fd, testing::read_all(fd));
    };
    loop.add_reader(pair.ours.fd(), [&] { pass_on(pair.ours.fd()); });
    loop.add_reader(pair.theirs.fd(), [&] { pass_on(pair.theirs.fd()); });
    loop.run();
    CHECK(pings == 100);
}
