// Exercise 06.1: settle once, and then.
#include <doctest/doctest.h>

#include <exception>
#include <stdexcept>
#include <string>

#include "chapters/06-promises/promise.hpp"
#include "tests/06-promises/outcome.hpp"

namespace {

using promises::Deferred;
using promises::Promise;
using promises::rejected;
using promises::resolved;
using promises::Status;
using testing::outcome;
using testing::Quiet;
using testing::run;

template <typename T>
std::string status(const Promise<T>& promise) {
    switch (promise.status()) {
        case Status::pending:
            return "pending";
        case Status::fulfilled:
            return "fulfilled";
        case Status::rejected:
            return "rejected";
    }
    return "not a valid status";
}

/// What happened, one word after another.
struct Log {
    std::string text;

    void add(const std::string& word) { text += (text.empty() ? "" : ", ") + word; }

    /// A handler that adds a word.
    auto adds(const char* word) {
        return [this, word](const auto&...) { add(word); };
    }
};

std::runtime_error broken() {
    return std::runtime_error("broken");
}

}  // namespace

TEST_CASE("06.1 a promise is settled once: later calls change nothing") {
    Quiet jobs;
    const Deferred<int> first(jobs);
    CHECK_MESSAGE(status(first.promise()) == "pending",
                  "neither resolve() nor reject() was called");
    first.resolve(41);
    CHECK_MESSAGE(status(first.promise()) == "fulfilled", "after resolve(41)");
    first.reject(broken());
    CHECK_MESSAGE(status(first.promise()) == "fulfilled",
                  "resolve(41) came first, so reject() was too late. A promise is settled once: "
                  "try_resolve() is true only the first time (docs/06-promises.md, The idea)");

    const Deferred<int> second(jobs);
    second.reject(broken());
    CHECK_MESSAGE(status(second.promise()) == "rejected", "after reject()");
    second.resolve(41);
    CHECK_MESSAGE(status(second.promise()) == "rejected", "reject() came first");
}

TEST_CASE("06.1 a promise that waits for another one is resolved, although it is pending") {
    Quiet jobs;
    const Deferred<int> inner(jobs);
    const Deferred<int> outer(jobs);
    Log log;
    const auto note = [&](int n) { log.add(std::to_string(n)); };
    INFO("outer.resolve(inner's promise); then outer.resolve(5); then inner.resolve(7)");
    outer.promise().then(note);
    outer.resolve(inner.promise());
    outer.resolve(5);
    outer.reject(broken());
    CHECK_MESSAGE(status(outer.promise()) == "pending",
                  "it waits for inner, although resolve() was called again: the first call counts, "
                  "also while the promise is still pending");
    inner.resolve(7);
    outer.promise().then(note);
    run(jobs);
    CHECK_MESSAGE(log.text == "7, 7",
                  "the first call of resolve() counts, also if it hands over a promise that is "
                  "still pending: both handlers should get 7; they got ",
                  log.text);
}

TEST_CASE("06.1 a handler may throw anything") {
    Quiet jobs;
    Log log;
    INFO("a promise was fulfilled, and its handler threw the number 42");
    const Promise<void> next = resolved(jobs).then([] { throw 42; });
    next.catch_error([&](const std::exception_ptr& error) {
        try {
            std::rethrow_exception(error);
        } catch (int number) {
            log.add(std::to_string(number));
        }
    });
    run(jobs);
    CHECK_MESSAGE(log.text == "42",
                  "in C++ anything can be thrown, not only a std::exception: the promise of "
                  "then() should be rejected with it");
}

TEST_CASE("06.1 a handler that is registered late gets the same outcome") {
    Quiet jobs;
    const Deferred<int> deferred(jobs);
    deferred.resolve(41);
    run(jobs);
    INFO(
        "resolve(41) was called, and the queue ran until it was empty; only then was a handler "
        "registered");
    CHECK_MESSAGE(outcome(jobs, deferred.promise()) == "41",
                  "it should run with the next jobs: a promise that was fulfilled an hour ago "
                  "answers like one that will be. It must not matter which comes first, the "
                  "outcome or the handler");
}

TEST_CASE("06.1 the first value counts, for every handler, early or late") {
    Quiet jobs;
    Log log;
    const Deferred<int> deferred(jobs);
    deferred.promise().then([&](int n) { log.add("early " + std::to_string(n)); });
    deferred.resolve(41);
    deferred.resolve(99);
    deferred.promise().then([&](int n) { log.add("late " + std::to_string(n)); });
    run(jobs);
    INFO("a handler was registered, then resolve(41), resolve(99), then a second handler");
    CHECK_MESSAGE(log.text == "early 41, late 41",
                  "41 came first: every handler should get it, once. The 99 is too late");
}

TEST_CASE("06.1 no handler runs inside then(), resolve() or reject()") {
    Quiet jobs;
    Log log;
    const Deferred<int> deferred(jobs);
    SUBCASE("a value") {
        deferred.promise().then(log.adds("handler 1"));
        deferred.resolve(1);
        log.add("after resolve()");
        deferred.promise().then(log.adds("handler 2"));
    }
    SUBCASE("an error") {
        deferred.promise().then([](int) {}, log.adds("handler 1"));
        deferred.reject(broken());
        log.add("after reject()");
        deferred.promise().then([](int) {}, log.adds("handler 2"));
    }
    log.add("after then()");
    const std::string before = log.text;
    run(jobs);
    INFO(
        "handler 1 was registered, then the promise was settled, then handler 2 was registered; "
        "the test wrote a line after each call; then the queue ran");
    INFO("what happened: ", log.text);
    CHECK_MESSAGE(before.find("handler") == std::string::npos,
                  "handlers run from the queue, after the code that called has finished, even if "
                  "the promise is settled already: push them into the queue, do not call them "
                  "(docs/06-promises.md, How an outcome meets its handlers)");
    CHECK_MESSAGE(log.text == before + ", handler 1, handler 2", "the queue should run both");
}

TEST_CASE("06.1 handlers run in the order in which they were registered, each of them once") {
    Quiet jobs;
    Log log;
    const Deferred<void> deferred(jobs);
    INFO("three handlers were registered, then resolve(), then a fourth; the queue ran twice");
    deferred.promise().then(log.adds("1"));
    deferred.promise().then(log.adds("2"));
    deferred.promise().then(log.adds("3"));
    deferred.resolve();
    deferred.promise().then(log.adds("4"));
    run(jobs);
    run(jobs);
    CHECK_MESSAGE(log.text == "1, 2, 3, 4",
                  "there may be many handlers: each is queued, in order, and then forgotten");
}

TEST_CASE("06.1 then() returns a promise of what its handler returns") {
    Quiet jobs;
    const Promise<int> one = resolved(jobs, 1);
    SUBCASE("a value") {
        CHECK_MESSAGE(outcome(jobs, one.then([](int n) { return n + 1; })) == "2",
                      "a promise of 1, then a handler that returns n + 1");
    }
    SUBCASE("nothing") {
        CHECK_MESSAGE(outcome(jobs, one.then([](int) {})) == "nothing",
                      "a handler that returns nothing: that is a Promise<void>, and fulfilled");
    }
    SUBCASE("a promise: the chain waits for that one") {
        const Deferred<int> inner(jobs);
        const Promise<int> next = one.then([&](int) { return inner.promise(); });
        run(jobs);
        CHECK_MESSAGE(status(next) == "pending",
                      "the handler has returned a promise that is not settled yet");
        inner.resolve(7);
        CHECK_MESSAGE(outcome(jobs, next) == "7", "now that promise was fulfilled with 7");
    }
}

TEST_CASE("06.1 a handler that throws rejects the promise of its then()") {
    Quiet jobs;
    Log log;
    const Promise<int> one = resolved(jobs, 1);
    const Promise<int> next = one.then([](int) -> int { throw broken(); });
    one.then(log.adds("the next handler"));
    run(jobs);
    INFO("a handler threw \"broken\"; another handler was registered after it");
    CHECK_MESSAGE(outcome(jobs, next) == "error: broken",
                  "the exception is the outcome of that handler");
    CHECK_MESSAGE(log.text == "the next handler", "other handlers are not affected");
}

TEST_CASE("06.1 an error goes down the chain to the first handler for errors") {
    Quiet jobs;
    Log log;
    const Promise<int> end = rejected<int>(jobs, broken())
                                 .then([&](int n) {
                                     log.add("a handler of values");
                                     return n;
                                 })
                                 .catch_error([&](const std::exception_ptr& error) {
                                     log.add("caught " + promises::message(error));
                                     return 10;
                                 })
                                 .catch_error([&](const std::exception_ptr&) {
                                     log.add("caught again");
                                     return 0;
                                 })
                                 .then([](int n) { return n + 1; });
    run(jobs);
    INFO("rejected(\"broken\").then(...).catch_error(... 10).catch_error(...).then(... n + 1)");
    CHECK_MESSAGE(log.text == "caught broken",
                  "an error skips the handlers for values, and is caught once. If then() was given "
                  "no on_error, its promise is rejected with the same error");
    CHECK_MESSAGE(outcome(jobs, end) == "11", "after the catch the chain continues with the 10");
}

TEST_CASE("06.1 on_error does not get what the on_value beside it throws") {
    Quiet jobs;
    Log log;
    const Promise<void> next =
        resolved(jobs).then([] { throw broken(); }, log.adds("the on_error beside it"));
    run(jobs);
    INFO("a promise was fulfilled; then(on_value, on_error) was called; on_value threw \"broken\"");
    CHECK_MESSAGE(log.text.empty(),
                  "one of the two handlers runs, never both: what on_value throws rejects the "
                  "promise that this then() returned");
    CHECK_MESSAGE(outcome(jobs, next) == "error: broken", "so that promise is rejected");
}

TEST_CASE("06.1 two promises that have become one have one list of handlers") {
    Quiet jobs;
    Log log;
    const Deferred<void> outer(jobs);
    const Deferred<void> inner(jobs);
    INFO(
        "outer was resolved with the promise inner; then each got a handler; then inner.resolve()");
    outer.resolve(inner.promise());
    outer.promise().then(log.adds("outer"));
    inner.promise().then(log.adds("inner"));
    run(jobs);
    CHECK_MESSAGE(log.text.empty(), "inner is still pending, and so is outer");
    inner.resolve();
    run(jobs);
    CHECK_MESSAGE(log.text == "outer, inner",
                  "one of them is only a link now: its handlers belong in the list of its root() "
                  "(docs/06-promises.md, What a handler returns or throws)");
}
