// Many promises as one: docs/06-promises.md, section "Combinators".
#include <doctest/doctest.h>

#include <cstddef>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "chapters/06-promises/combinators.hpp"
#include "tests/06-promises/outcome.hpp"

namespace {

using promises::AggregateError;
using promises::Deferred;
using promises::JobQueue;
using promises::Outcome;
using promises::Promise;
using promises::Status;
using testing::Three;

/// Returns the value or the error of a settled promise.
template <typename T>
Outcome<T> ended(JobQueue& jobs, const Promise<T>& promise) {
    Outcome<T> result;
    promise.then([&](const T& value) { result.value.emplace(value); },
                 [&](const std::exception_ptr& error) { result.error = error; });
    jobs.run();
    REQUIRE_MESSAGE((result.value || result.error), "the promise should be settled by now");
    return result;
}

}  // namespace

TEST_CASE("all: every value, in the order of the promises, when the last has come") {
    Three three;
    const auto all = promises::all(three.jobs, three.promises());
    three.resolve(2, 30);
    three.resolve(0, 10);
    CHECK(all.status() == Status::pending);
    three.resolve(1, 20);
    CHECK(ended(three.jobs, all).value.value() == std::vector{10, 20, 30});
}

TEST_CASE("all: the first error, at once") {
    Three three;
    const auto all = promises::all(three.jobs, three.promises());
    three.resolve(0, 10);
    three.reject(2, "first");
    CHECK(promises::message(ended(three.jobs, all).error) == "first");
    three.reject(1, "second");
    CHECK(promises::message(ended(three.jobs, all).error) == "first");
}

TEST_CASE("all_settled: how each one ended, in the order of the promises") {
    Three three;
    const auto settled = promises::all_settled(three.jobs, three.promises());
    three.reject(1, "no");
    three.resolve(2, 30);
    CHECK(settled.status() == Status::pending);
    three.resolve(0, 10);
    const auto outcomes = ended(three.jobs, settled).value.value();
    REQUIRE(outcomes.size() == 3);
    CHECK(outcomes[0].value == 10);
    CHECK(outcomes[1].status() == Status::rejected);
    CHECK(promises::message(outcomes[1].error) == "no");
    CHECK(outcomes[2].value == 30);
}

TEST_CASE("any: the first value, whichever promises fail") {
    Three three;
    const auto any = promises::any(three.jobs, three.promises());
    three.reject(0, "no");
    CHECK(any.status() == Status::pending);
    three.resolve(2, 30);
    three.resolve(1, 20);
    CHECK(ended(three.jobs, any).value == 30);
}

TEST_CASE("any: all errors, in the order of the promises, when the last one fails") {
    Three three;
    const auto any = promises::any(three.jobs, three.promises());
    three.reject(2, "c");
    three.reject(0, "a");
    CHECK(any.status() == Status::pending);
    three.reject(1, "b");
    try {
        std::rethrow_exception(ended(three.jobs, any).error);
    } catch (const AggregateError& error) {
        CHECK(std::string(error.what()) == "all 3 promises were rejected");
        std::string all;
        for (const auto& each : error.errors) all += promises::message(each);
        CHECK(all == "abc");
    }
}

TEST_CASE("race: the outcome of the first promise to settle") {
    Three three;
    const auto race = promises::race(three.jobs, three.promises());
    SUBCASE("with a value") {
        three.resolve(1, 20);
        three.reject(0, "too late");
        CHECK(ended(three.jobs, race).value == 20);
    }
    SUBCASE("with an error") {
        three.reject(1, "first");
        three.resolve(0, 10);
        CHECK(promises::message(ended(three.jobs, race).error) == "first");
    }
    SUBCASE(
        "two in one run of the queue: the one that was settled first, not the first in the list") {
        three.ends[2].resolve(30);
        three.ends[0].resolve(10);
        CHECK(ended(three.jobs, race).value == 30);
    }
    SUBCASE("two that are settled already: the first in the list") {
        Three done;
        done.ends[2].resolve(30);
        done.ends[1].resolve(20);
        CHECK(ended(done.jobs, promises::race(done.jobs, done.promises())).value == 20);
    }
}

TEST_CASE("combinators of no promises") {
    JobQueue jobs;
    const std::vector<Promise<int>> none;
    const auto all = promises::all(jobs, none);
    CHECK(all.status() == Status::fulfilled);
    CHECK(ended(jobs, all).value->empty());

    const auto settled = promises::all_settled(jobs, none);
    CHECK(settled.status() == Status::fulfilled);
    CHECK(ended(jobs, settled).value->empty());

    const auto any = promises::any(jobs, none);
    CHECK(any.status() == Status::rejected);
    try {
        std::rethrow_exception(ended(jobs, any).error);
    } catch (const AggregateError& error) {
        CHECK(error.errors.empty());
    }

    const auto race = promises::race(jobs, none);
    jobs.run();
    CHECK(race.status() == Status::pending);
}

TEST_CASE("all: the same promise several times") {
    Three three;
    const Promise<int> one = three.ends[0].promise();
    const auto all = promises::all(three.jobs, std::vector{one, one, one});
    three.resolve(0, 1);
    CHECK(ended(three.jobs, all).value.value() == std::vector{1, 1, 1});
}

TEST_CASE("combinators of promises without a value") {
    JobQueue jobs;
    const Deferred<void> a(jobs);
    const Deferred<void> b(jobs);
    const std::vector<Promise<void>> both{a.promise(), b.promise()};
    const auto all = promises::all(jobs, both);
    const auto settled = promises::all_settled(jobs, both);
    const auto any = promises::any(jobs, both);
    const auto race = promises::race(jobs, both);
    b.resolve();
    jobs.run();
    CHECK(all.status() == Status::pending);
    CHECK(settled.status() == Status::pending);
    CHECK(any.status() == Status::fulfilled);
    CHECK(race.status() == Status::fulfilled);
    a.resolve();
    jobs.run();
    CHECK(all.status() == Status::fulfilled);
    CHECK(settled.status() == Status::fulfilled);
    CHECK(promises::all(jobs, std::vector<Promise<void>>()).status() == Status::fulfilled);
}

TEST_CASE("combinators of values that can only be moved") {
    JobQueue jobs;
    using Box = std::unique_ptr<int>;
    const auto boxes = [&] {
        std::vector<Promise<Box>> made;
        for (int i = 1; i <= 2; ++i)
            made.push_back(promises::resolved(jobs, std::make_unique<int>(i)));
        return made;
    };
    int sum = 0;
    promises::all(jobs, boxes()).then([&](std::vector<Box> all) {
        for (const Box& box : all) sum += *box;
    });
    promises::all_settled(jobs, boxes()).then([&](std::vector<Outcome<Box>> all) {
        for (const auto& each : all) sum += 10 * **each.value;
    });
    promises::race(jobs, boxes()).then([&](Box box) { sum += 100 * *box; });
    promises::any(jobs, boxes()).then([&](Box box) { sum += 1000 * *box; });
    jobs.run();
    CHECK(sum == 3 + 30 + 100 + 1000);
}
