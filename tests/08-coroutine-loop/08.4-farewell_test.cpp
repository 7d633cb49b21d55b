// Exercise 08.4: a task that outlives the function that started it, and has all that it needs.
#include <doctest/doctest.h>
#include <fcntl.h>

#include <chrono>
#include <csignal>
#include <string>
#include <utility>

#include "chapters/08-coroutine-loop/exercises/farewell.hpp"
#include "tests/05-callback-loop/pair.hpp"
#include "tests/08-coroutine-loop/world.hpp"
#include "tests/support/test.hpp"

using coroutines::farewell;
using coroutines::TaskHandle;
using testing::at_end;
using testing::ends;
using testing::Pair;
using testing::World;
using namespace std::chrono_literals;

namespace {

const std::string bye = "bye";

/// farewell() has returned. From here on only its task can keep the connection open.
/// Otherwise the test ends here: what comes next would use what is gone.
void require_open(const Pair& pair) {
    REQUIRE_MESSAGE(!at_end(pair.theirs.fd()),
                    "farewell() has returned, its task has not even begun, and the connection is "
                    "closed. Which object owns the descriptor, and when is that object destroyed? "
                    "(docs/08-lifetime.md)");
}

/// Lets virtual time pass.
void pass(World& world, coroutines::Duration time) {
    const bool ended = ends(world.loop, coroutines::pass(world.loop, time));
    REQUIRE(ended);
}

}  // namespace

TEST_CASE("08.4 the connection stays open until the words are sent, and no longer") {
    World world;
    Pair pair;
    INFO("farewell() to a client, 'bye' in 10 ms");
    farewell(world.loop, std::move(pair.ours), bye, 10ms);
    require_open(pair);
    pass(world, 9ms);
    CHECK_MESSAGE(testing::read_all(pair.theirs.fd()).empty(), "nothing should come before 10 ms");
    require_open(pair);
    pass(world, 2ms);
    const std::string heard = testing::read_all(pair.theirs.fd());
    CHECK_MESSAGE(heard == bye, "after 10 ms the client should have heard 'bye'; it heard ",
                  support::quoted(heard));
    CHECK_MESSAGE(at_end(pair.theirs.fd()),
                  "the words were said, and yet the connection stays open: "
                  "it should belong to the task, and end with it");
}

TEST_CASE("08.4 the task owns the words") {
    World world;
    Pair pair;
    INFO(
        "farewell() with 'so long'; then the caller used its string for something else: 'xxxxxxx'");
    std::string words = "so long";
    farewell(world.loop, std::move(pair.ours), words, 10ms);
    require_open(pair);
    words.assign("xxxxxxx");
    pass(world, 11ms);
    const std::string heard = testing::read_all(pair.theirs.fd());
    CHECK_MESSAGE(heard == "so long", "the client heard ", support::quoted(heard),
                  ". A parameter that is a reference is a reference in the frame, too: to the "
                  "caller's string. By value it is a copy");
}

TEST_CASE("08.4 two farewells at the same time share nothing") {
    World world;
    Pair first;
    Pair second;
    INFO("farewell() to two clients: 'one' in 20 ms, and 'two' in 10 ms");
    const std::string one = "one";
    const std::string two = "two";
    farewell(world.loop, std::move(first.ours), one, 20ms);
    farewell(world.loop, std::move(second.ours), two, 10ms);
    require_open(first);
    require_open(second);
    pass(world, 11ms);
    CHECK(testing::read_all(first.theirs.fd()).empty());
    CHECK(testing::read_all(second.theirs.fd()) == two);
    require_open(first);
    pass(world, 10ms);
    CHECK(testing::read_all(first.theirs.fd()) == one);
}

TEST_CASE(
    "08.4 a client with a full buffer does not block the thread, and one that left raises no "
    "signal") {
    World world;
    Pair ordinary;
    Pair full;
    Pair gone;
    INFO("farewell() to a client whose buffer is full, and to one that has closed the connection");
    farewell(world.loop, std::move(ordinary.ours), bye, 10ms);
    require_open(ordinary);
    Pair::fill(full.ours.fd());
    const int flags = ::fcntl(full.ours.fd(), F_GETFL);
    ::fcntl(full.ours.fd(), F_SETFL, flags & ~O_NONBLOCK);
    gone.theirs.close();
    static volatile std::sig_atomic_t signals;
    signals = 0;
    const auto before = std::signal(SIGPIPE, [](int) { signals = 1; });
    support::waiting_for("a farewell to a client whose buffer is full: send(2) must not block");
    farewell(world.loop, std::move(full.ours), bye, 10ms);
    farewell(world.loop, std::move(gone.ours), bye, 10ms);
    pass(world, 20ms);
    std::signal(SIGPIPE, before);
    CHECK_MESSAGE(signals == 0, "send(2) raised SIGPIPE: MSG_NOSIGNAL");
    CHECK(world.errors.empty());
    const std::string heard = testing::read_all(full.theirs.fd());
    CHECK_MESSAGE(!heard.ends_with(bye), "there was no room for the words");
}

TEST_CASE("08.4 a cancelled farewell sends nothing and closes the connection") {
    World world;
    Pair pair;
    INFO("farewell() in 10 ms, cancelled after 5");
    TaskHandle saying = farewell(world.loop, std::move(pair.ours), bye, 10ms);
    require_open(pair);
    pass(world, 5ms);
    require_open(pair);
    saying.cancel();
    pass(world, 20ms);
    CHECK_MESSAGE(testing::read_all(pair.theirs.fd()).empty(), "it was cancelled in time");
    CHECK_MESSAGE(at_end(pair.theirs.fd()),
                  "the task is destroyed, and what it owned should be gone "
                  "with its frame; the connection stays open");
}
