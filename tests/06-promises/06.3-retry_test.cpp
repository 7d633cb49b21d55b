// Exercise 06.3: try again, and wait longer each time.
#include <doctest/doctest.h>

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

#include "chapters/06-promises/exercises/retry.hpp"
#include "chapters/06-promises/io.hpp"
#include "chapters/06-promises/promise.hpp"
#include "tests/06-promises/world.hpp"

namespace {

using namespace std::chrono_literals;
using promises::Promise;
using promises::retry;

/// Answers at a given attempt, and records when it was asked. Time is simulated: no test waits.
struct Server : testing::World {
    int answers_at = 1;                  // the attempt that gets an answer
    std::chrono::milliseconds takes{0};  // how long each attempt takes
    bool throws = false;                 // fails by an exception, not by a rejected promise
    int attempts = 0;
    int under_way = 0;
    std::string log;

    Server() {
        io.jobs.on_unhandled([this](const std::exception_ptr& error) {
            write_down("unhandled: \"" + promises::message(error) + "\"");
        });
    }

    void write_down(const std::string& what) {
        log += (log.empty() ? "" : "; ") + what + " at " + std::to_string(time().count());
    }

    Promise<int> ask() {
        const int attempt = ++attempts;
        if (attempts > 20) io.loop.stop();  // it would never end
        write_down(std::to_string(attempt));
        if (++under_way > 1) write_down("(another attempt was still under way)");
        if (throws && attempt < answers_at) {
            --under_way;
            throw std::runtime_error("failure " + std::to_string(attempt));
        }
        return promises::sleep(io, takes).then([this, attempt] {
            --under_way;
            if (attempt < answers_at) {
                throw std::runtime_error("failure " + std::to_string(attempt));
            }
            return attempt;
        });
    }

    /// Runs the loop until it has nothing left to do. Returns what happened, and when.
    std::string run(int most, std::chrono::milliseconds delay) {
        try {
            retry(io, most, delay, [this] { return ask(); })
                .then([this](int n) { write_down("fulfilled with " + std::to_string(n)); },
                      [this](const std::exception_ptr& error) {
                          write_down("rejected with \"" + promises::message(error) + "\"");
                      });
            io.loop.run();
        } catch (const std::exception& error) {
            log += std::string("; an exception came out: ") + error.what();
        }
        return log;
    }
};

}  // namespace

TEST_CASE("06.3 if the first attempt succeeds, there is no second one and no wait") {
    Server server;
    INFO("retry() with 3 attempts and a delay of 100 ms; the first attempt works");
    CHECK_MESSAGE(server.run(3, 100ms) == "1 at 0; fulfilled with 1 at 0",
                  "nothing failed, so there is nothing to repeat");
}

TEST_CASE("06.3 each wait is twice as long as the one before") {
    Server server;
    server.answers_at = 4;
    INFO("retry() with 5 attempts and a delay of 100 ms; the fourth attempt works");
    CHECK_MESSAGE(
        server.run(5, 100ms) == "1 at 0; 2 at 100; 3 at 300; 4 at 700; fulfilled with 4 at 700",
        "it should wait for 100, 200 and 400 ms between the attempts. A sleep() whose promise is "
        "dropped delays nothing");
}

TEST_CASE("06.3 the last attempt decides, and there is no wait after it") {
    Server server;
    server.answers_at = 100;
    SUBCASE("of three") {
        INFO("retry() with 3 attempts and a delay of 100 ms; none works");
        CHECK_MESSAGE(server.run(3, 100ms) ==
                          "1 at 0; 2 at 100; 3 at 300; rejected with \"failure 3\" at 300",
                      "3 attempts are 3 calls, with a wait between two of them: 2 waits. The last "
                      "error is the outcome, at once");
    }
    SUBCASE("of one") {
        INFO("retry() with 1 attempt and a delay of 100 ms; it does not work");
        CHECK_MESSAGE(server.run(1, 100ms) == "1 at 0; rejected with \"failure 1\" at 0",
                      "no attempt is left, so there is nothing to wait for");
    }
}

TEST_CASE("06.3 the wait begins when an attempt has failed, not when it began") {
    Server server;
    server.answers_at = 3;
    server.takes = 1000ms;
    INFO("retry() with 3 attempts and a delay of 100 ms; each takes 1000 ms, and the third works");
    CHECK_MESSAGE(server.run(3, 100ms) == "1 at 0; 2 at 1100; 3 at 2300; fulfilled with 3 at 3300",
                  "one thing after another: an attempt, its failure, the wait, the next attempt");
}

TEST_CASE("06.3 an operation that throws counts as a failed attempt") {
    Server server;
    server.throws = true;
    SUBCASE("the second attempt works") {
        server.answers_at = 2;
        INFO("retry() with 3 attempts and a delay of 100 ms; the first call throws");
        CHECK_MESSAGE(
            server.run(3, 100ms) == "1 at 0; 2 at 100; fulfilled with 2 at 100",
            "an exception of the operation is a failed attempt, not an exception of retry()");
    }
    SUBCASE("none works") {
        server.answers_at = 100;
        INFO("retry() with 2 attempts and a delay of 100 ms; every call throws");
        CHECK_MESSAGE(
            server.run(2, 100ms) == "1 at 0; 2 at 100; rejected with \"failure 2\" at 100",
            "the last exception is the outcome");
    }
}

TEST_CASE("06.3 after the last attempt, nothing is left of the operation") {
    Server server;
    server.answers_at = 3;
    const auto token = std::make_shared<int>(0);
    retry(server.io, 3, 100ms, [&server, token] { return server.ask(); }).then([](int) {});
    server.io.loop.run();
    INFO("retry() with 3 attempts; the third worked, and every handler has run");
    REQUIRE(server.attempts == 3);
    CHECK_MESSAGE(server.io.waiting == 0, "a sleep is still under way");
    CHECK_MESSAGE(token.use_count() == 1,
                  "a copy of the operation is still alive: a function that owns itself (a "
                  "shared_ptr to a function in its own capture) is never destroyed");
}
