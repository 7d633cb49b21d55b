// Unhandled errors are reported once: docs/06-promises.md, "What a handler returns or throws".
#include <doctest/doctest.h>

#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "chapters/06-promises/combinators.hpp"
#include "chapters/06-promises/promise.hpp"

namespace {

using promises::Deferred;
using promises::JobQueue;
using promises::Promise;
using promises::rejected;
using promises::resolved;

/// A queue that records unhandled errors.
struct Observed : JobQueue {
    Observed() {
        on_unhandled([this](const std::exception_ptr& error) {
            reports.push_back(promises::message(error));
        });
    }
    std::vector<std::string> reports;
};

using Reports = std::vector<std::string>;

void ignore(const std::exception_ptr& /*error*/) {}

std::runtime_error error(const char* words = "lost") {
    return std::runtime_error(words);
}

}  // namespace

TEST_CASE("an unhandled error is reported once, when the queue is empty") {
    Observed jobs;
    SUBCASE("the promise is dropped") {
        rejected<void>(jobs, error());
    }
    SUBCASE("a handler throws") {
        resolved(jobs).then([] { throw std::runtime_error("lost"); });
    }
    SUBCASE("handlers for values do not handle errors") {
        rejected<void>(jobs, error()).then([] {}).then([] {}).finally([] {});
    }
    SUBCASE("what was thrown is not a std::exception") {
        resolved(jobs).then([] { throw std::string("lost"); });
    }
    SUBCASE("it was rejected by adoption") {
        resolved(jobs).then([&] { return rejected<void>(jobs, error()); });
    }
    CHECK(jobs.reports.empty());
    jobs.run();
    CHECK(jobs.reports == Reports{"lost"});
    jobs.run();
    resolved(jobs).then([] {});
    jobs.run();
    CHECK(jobs.reports == Reports{"lost"});
}

TEST_CASE("an error that reaches a handler is not reported") {
    Observed jobs;
    SUBCASE("later, but before the queue is empty") {
        const Promise<void> promise = rejected<void>(jobs, error());
        resolved(jobs).then([] {}).then([] {}).then([promise] { promise.catch_error(ignore); });
    }
    SUBCASE("at the end of a chain") {
        rejected<void>(jobs, error()).then([] {}).finally([] {}).catch_error(ignore);
    }
    SUBCASE("by a handler of the promise that adopted it") {
        const Deferred<void> outer(jobs);
        outer.promise().catch_error(ignore);
        outer.resolve(rejected<void>(jobs, error()));
    }
    SUBCASE("as one of many") {
        std::vector<Promise<void>> many{rejected<void>(jobs, error()),
                                        rejected<void>(jobs, error())};
        promises::all(jobs, many).catch_error(ignore);
    }
    jobs.run();
    CHECK(jobs.reports.empty());
}

TEST_CASE("the promise of then() has the debt now: one report, for the last one") {
    Observed jobs;
    rejected<void>(jobs, error("first")).catch_error([](const std::exception_ptr&) {
        throw std::runtime_error("second");
    });
    jobs.run();
    CHECK(jobs.reports == Reports{"second"});
}

TEST_CASE("each branch has its own debt") {
    Observed jobs;
    const Promise<void> promise = rejected<void>(jobs, error());
    promise.catch_error(ignore);
    promise.then([] {});  // the promise of this then() is rejected, and has no handler
    jobs.run();
    CHECK(jobs.reports == Reports{"lost"});
}

TEST_CASE("a promise that adopts a handled one still has its own debt") {
    Observed jobs;
    const Deferred<void> inner(jobs);
    inner.promise().catch_error(ignore);
    const Deferred<void> outer(jobs);
    SUBCASE("adopted while pending") {
        outer.resolve(inner.promise());
        inner.reject(error());
    }
    SUBCASE("adopted when settled") {
        inner.reject(error());
        jobs.run();
        outer.resolve(inner.promise());
    }
    SUBCASE("although another promise that adopted it is handled") {
        const Deferred<void> handled(jobs);
        handled.promise().catch_error(ignore);
        outer.resolve(inner.promise());
        handled.resolve(inner.promise());
        inner.reject(error());
    }
    jobs.run();
    CHECK(jobs.reports == Reports{"lost"});
}

TEST_CASE("a handler that comes after the report pays no other debt") {
    Observed jobs;
    const Deferred<void> inner(jobs);
    inner.reject(error());
    jobs.run();
    CHECK(jobs.reports == Reports{"lost"});
    inner.promise().catch_error(ignore);
    const Deferred<void> outer(jobs);
    outer.resolve(inner.promise());
    jobs.run();
    const Reports both{"lost", "lost"};
    CHECK_MESSAGE(jobs.reports == both,
                  "the outer promise has no handler: its error should be reported as well");
}

TEST_CASE("a handler pays the debt of its own promise only, also after a report") {
    Observed jobs;
    const Deferred<void> inner(jobs);
    const Deferred<void> early(jobs);
    early.resolve(inner.promise());
    inner.reject(error());
    jobs.run();
    REQUIRE(jobs.reports == Reports{"lost"});
    const Deferred<void> late(jobs);
    late.resolve(inner.promise());
    early.promise().catch_error(ignore);
    jobs.run();
    const Reports both{"lost", "lost"};
    CHECK_MESSAGE(jobs.reports == both,
                  "early and late adopted the same promise. The error of early was reported before "
                  "late came, so a handler of early pays nothing: late still has no handler");
}

TEST_CASE("the race handles the errors of its losers") {
    Observed jobs;
    const Deferred<int> winner(jobs);
    const Deferred<int> loser(jobs);
    promises::race(jobs, std::vector{winner.promise(), loser.promise()});
    winner.resolve(1);
    loser.reject(error());
    jobs.run();
    CHECK(jobs.reports.empty());
}

TEST_CASE("a promise resolved with itself is reported like any other error") {
    Observed jobs;
    std::optional<Promise<void>> self;
    self = resolved(jobs).then([&] { return *self; });
    jobs.run();
    CHECK(jobs.reports == Reports{"a promise was resolved with itself: it would wait forever"});
}

TEST_CASE("rejecting calls wake_up: the report must not wait for other work") {
    Observed jobs;
    int woken = 0;
    jobs.on_work([&] { ++woken; });
    rejected<void>(jobs, error());
    CHECK(woken == 1);
    jobs.run();
    CHECK(jobs.reports == Reports{"lost"});
}
