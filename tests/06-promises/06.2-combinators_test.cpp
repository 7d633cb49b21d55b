// Exercise 06.2: all, any and race.
#include <doctest/doctest.h>

#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "chapters/06-promises/combinators.hpp"
#include "tests/06-promises/outcome.hpp"

namespace {

using promises::AggregateError;
using promises::Deferred;
using promises::Promise;
using testing::outcome;
using testing::Quiet;
using testing::run;
using testing::Three;

/// What any() is rejected with: "none of them: a b c", in the order of the errors.
std::string errors(testing::Quiet& jobs, const Promise<int>& promise) {
    std::string text = "not rejected";
    promise.then([](int) {},
                 [&](const std::exception_ptr& error) {
                     try {
                         std::rethrow_exception(error);
                     } catch (const AggregateError& all) {
                         text = "none of them:";
                         for (const auto& each : all.errors) text += " " + promises::message(each);
                     } catch (...) {
                         text = "another error: " + promises::message(error);
                     }
                 });
    run(jobs);
    return text;
}

}  // namespace

TEST_CASE("06.2 all: every value, in the order of the promises") {
    Three three;
    const auto all = promises::all(three.jobs, three.promises());
    INFO("all({a, b, c}); then c is 30, then a is 10, then b is 20");
    three.resolve(2, 30);
    three.resolve(0, 10);
    CHECK_MESSAGE(outcome(three.jobs, all) == "pending", "b has not come yet");
    three.resolve(1, 20);
    CHECK_MESSAGE(outcome(three.jobs, all) == "[10 20 30]",
                  "a value's place is that of its promise, whichever value comes first: how else "
                  "could the caller tell them apart?");
}

TEST_CASE("06.2 all: the first error, at once") {
    Three three;
    const auto all = promises::all(three.jobs, three.promises());
    INFO("all({a, b, c}); then c fails: \"first\"; a and b are still pending");
    three.reject(2, "first");
    CHECK_MESSAGE(outcome(three.jobs, all) == "error: first",
                  "they can no longer all be fulfilled: reject at once, and do not wait for the "
                  "others (docs/06-promises.md, Combinators)");
    three.reject(1, "second");
    CHECK_MESSAGE(outcome(three.jobs, all) == "error: first",
                  "then b failed: \"second\". That is too late");
}

TEST_CASE("06.2 all of none: there is nothing to wait for") {
    Quiet jobs;
    INFO("all({})");
    const std::string values = outcome(jobs, promises::all(jobs, std::vector<Promise<int>>()));
    CHECK_MESSAGE(values == "[]",
                  "of no promises, all are fulfilled. No handler will ever run that could resolve "
                  "the result later");
    CHECK(outcome(jobs, promises::all(jobs, std::vector<Promise<void>>())) == "nothing");
}

TEST_CASE("06.2 all: without values, fulfilled when the last promise is") {
    Quiet jobs;
    const Deferred<void> a(jobs);
    const Deferred<void> b(jobs);
    const auto all = promises::all(jobs, std::vector{a.promise(), b.promise()});
    INFO("all({a, b}) of Promise<void>; then b is fulfilled");
    b.resolve();
    CHECK_MESSAGE(outcome(jobs, all) == "pending", "a has not come yet");
    SUBCASE("then a is fulfilled") {
        a.resolve();
        CHECK_MESSAGE(outcome(jobs, all) == "nothing", "now both are fulfilled");
    }
    SUBCASE("then a fails") {
        a.reject(std::runtime_error("broken"));
        CHECK_MESSAGE(outcome(jobs, all) == "error: broken", "one error decides");
    }
}

TEST_CASE("06.2 all and race: values that can only be moved") {
    Quiet jobs;
    using Box = std::unique_ptr<int>;
    const auto boxes = [&] {
        std::vector<Promise<Box>> made;
        for (const int n : {1, 2}) made.push_back(resolved(jobs, std::make_unique<int>(n)));
        return made;
    };
    int sum = 0;
    promises::all(jobs, boxes()).then([&](std::vector<Box> all) {
        for (const Box& box : all) sum += *box;
    });
    promises::race(jobs, boxes()).then([&](Box box) { sum += 100 * *box; });
    run(jobs);
    INFO("all and race were given unique_ptrs to 1 and 2");
    CHECK_MESSAGE(sum == 1 + 2 + 100, "the sum of all, plus 100 times the first");
}

TEST_CASE("06.2 any: the first value, whichever promises fail") {
    Three three;
    const auto any = promises::any(three.jobs, three.promises());
    INFO("any({a, b, c}); then a fails, then c is 30, then b is 20");
    three.reject(0, "no");
    CHECK_MESSAGE(outcome(three.jobs, any) == "pending",
                  "one of them has failed; any of the others may still come");
    three.resolve(2, 30);
    CHECK_MESSAGE(outcome(three.jobs, any) == "30", "c is the first value");
    three.resolve(1, 20);
    CHECK_MESSAGE(outcome(three.jobs, any) == "30", "c came first");
}

TEST_CASE("06.2 any: when all have failed, all errors, in the order of the promises") {
    Three three;
    const auto any = promises::any(three.jobs, three.promises());
    INFO("any({a, b, c}); then c fails: \"C\", then a: \"A\", then b: \"B\"");
    three.reject(2, "C");
    three.reject(0, "A");
    CHECK_MESSAGE(outcome(three.jobs, any) == "pending", "b may still come");
    three.reject(1, "B");
    CHECK_MESSAGE(errors(three.jobs, any) == "none of them: A B C",
                  "now it is known: an AggregateError, in the order of the promises");
    CHECK_MESSAGE(errors(three.jobs, promises::any(three.jobs, std::vector<Promise<int>>())) ==
                      "none of them:",
                  "any({}): no promise can be fulfilled, and that is known at once");
}

TEST_CASE("06.2 race: the outcome of the first promise to settle, whether a value or an error") {
    Three three;
    const auto race = promises::race(three.jobs, three.promises());
    SUBCASE("a value") {
        INFO("race({a, b, c}); then b is 20, then a fails");
        three.resolve(1, 20);
        CHECK_MESSAGE(outcome(three.jobs, race) == "20", "b was the first");
        three.reject(0, "too late");
        CHECK_MESSAGE(outcome(three.jobs, race) == "20", "a came later");
    }
    SUBCASE("an error") {
        INFO("race({a, b, c}); then b fails: \"first\", then a is 10");
        three.reject(1, "first");
        CHECK_MESSAGE(
            outcome(three.jobs, race) == "error: first",
            "the first outcome decides, even if it is an error: the first *value* is any()");
        three.resolve(0, 10);
        CHECK_MESSAGE(outcome(three.jobs, race) == "error: first", "a came later");
    }
}

TEST_CASE("06.2 race of none: no promise can win") {
    Quiet jobs;
    CHECK_MESSAGE(outcome(jobs, promises::race(jobs, std::vector<Promise<int>>())) == "pending",
                  "race({}) has no first outcome, neither a value nor an error");
}
