// What a promise guarantees: docs/06-promises.md, "How an outcome meets its handlers" and "What a
// handler returns or throws".
#include <doctest/doctest.h>

#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "chapters/06-promises/promise.hpp"
#include "tests/06-promises/outcome.hpp"

namespace {

using promises::Deferred;
using promises::JobQueue;
using promises::Promise;
using promises::rejected;
using promises::resolved;
using promises::Status;
using testing::outcome;
using testing::Quiet;

using Log = std::vector<std::string>;

std::string text(const std::exception_ptr& error) {
    return promises::message(error);
}

}  // namespace

TEST_CASE("a promise is pending until its Deferred settles it") {
    JobQueue jobs;
    const Deferred<int> deferred(jobs);
    const Promise<int> promise = deferred.promise();
    CHECK(promise.status() == Status::pending);
    CHECK(outcome(jobs, promise) == "pending");
    SUBCASE("with a value") {
        deferred.resolve(1);
        CHECK(promise.status() == Status::fulfilled);
        CHECK(outcome(jobs, promise) == "1");
    }
    SUBCASE("with an error") {
        deferred.reject(std::runtime_error("broken"));
        CHECK(promise.status() == Status::rejected);
        CHECK(outcome(jobs, promise) == "error: broken");
    }
}

TEST_CASE("a promise is settled once: later calls change nothing") {
    JobQueue jobs;
    const Deferred<int> deferred(jobs);
    int calls = 0;
    deferred.promise().then([&](int) { ++calls; });
    deferred.resolve(1);
    deferred.resolve(2);
    deferred.reject(std::runtime_error("too late"));
    CHECK(outcome(jobs, deferred.promise()) == "1");
    deferred.resolve(3);
    CHECK(outcome(jobs, deferred.promise()) == "1");
    CHECK_MESSAGE(calls == 1, "a handler is called once, however often resolve() is");
}

TEST_CASE("a promise that has adopted another one can no longer be settled by its own Deferred") {
    JobQueue jobs;
    const Deferred<int> outer(jobs);
    const Deferred<int> inner(jobs);
    outer.resolve(inner.promise());
    outer.resolve(1);
    outer.reject(std::runtime_error("too late"));
    CHECK(outer.promise().status() == Status::pending);
    inner.resolve(2);
    CHECK(outcome(jobs, outer.promise()) == "2");
}

TEST_CASE("handlers run neither inside resolve() nor inside then()") {
    JobQueue jobs;
    Log log;
    const Deferred<int> deferred(jobs);
    deferred.promise().then([&](int) { log.emplace_back("first"); });
    deferred.resolve(1);
    log.emplace_back("after resolve");
    deferred.promise().then([&](int) { log.emplace_back("second"); });
    log.emplace_back("after then");
    jobs.run();
    CHECK(log == Log{"after resolve", "after then", "first", "second"});
}

TEST_CASE("handlers of errors and of adopted promises run from the queue, too") {
    JobQueue jobs;
    Log log;
    const Deferred<int> deferred(jobs);
    const Deferred<int> outer(jobs);
    const Promise<int> settled = rejected<int>(jobs, std::runtime_error("no"));
    outer.promise().catch_error([&](const auto&) {
        log.emplace_back("outer");
        return 0;
    });
    outer.resolve(settled);
    settled.catch_error([&](const auto&) {
        log.emplace_back("inner");
        return 0;
    });
    log.emplace_back("outside");
    jobs.run();
    CHECK(log == Log{"outside", "outer", "inner"});
}

TEST_CASE("handlers of one promise run in the order in which they were registered") {
    JobQueue jobs;
    std::vector<int> order;
    const Deferred<void> deferred(jobs);
    const Promise<void> promise = deferred.promise();
    for (int i = 0; i < 5; ++i) promise.then([&order, i] { order.push_back(i); });
    deferred.resolve();
    promise.then([&] { order.push_back(5); });
    jobs.run();
    CHECK(order == std::vector{0, 1, 2, 3, 4, 5});
}

TEST_CASE("handlers of several promises run in the order in which they became possible") {
    JobQueue jobs;
    Log log;
    const Deferred<void> a(jobs);
    const Deferred<void> b(jobs);
    const auto say = [&log](const char* words) {
        return [&log, words] { log.emplace_back(words); };
    };
    a.promise().then(say("a1")).then(say("a1, next"));
    b.promise().then(say("b1"));
    a.promise().then(say("a2"));
    b.resolve();
    a.resolve();
    b.promise().then(say("b2"));
    jobs.run();
    CHECK(log == Log{"b1", "a1", "a2", "b2", "a1, next"});
}

TEST_CASE("what a handler registers runs after what is queued already") {
    JobQueue jobs;
    Log log;
    const Promise<void> promise = resolved(jobs);
    promise.then([&] {
        log.emplace_back("one");
        promise.then([&] { log.emplace_back("registered by one"); });
        log.emplace_back("end of one");
    });
    promise.then([&] { log.emplace_back("two"); });
    jobs.run();
    CHECK(log == Log{"one", "end of one", "two", "registered by one"});
}

TEST_CASE("then() returns a promise of what the handler returns") {
    JobQueue jobs;
    const Promise<int> one = resolved(jobs, 1);
    SUBCASE("a value") {
        CHECK(outcome(jobs, one.then([](int n) { return n + 1; })) == "2");
    }
    SUBCASE("nothing") {
        CHECK(outcome(jobs, one.then([](int) {})) == "nothing");
    }
    SUBCASE("a value of another type") {
        const Promise<double> half = one.then([](int n) { return n / 2.0; });
        CHECK(outcome(jobs, half) == "0.500000");
    }
    SUBCASE("a promise") {
        const Deferred<int> inner(jobs);
        const Promise<int> outer = one.then([&](int) { return inner.promise(); });
        CHECK(outcome(jobs, outer) == "pending");
        inner.resolve(7);
        CHECK(outcome(jobs, outer) == "7");
    }
    SUBCASE("a promise that is rejected") {
        const auto fail = [&](int) { return rejected<int>(jobs, std::runtime_error("inner")); };
        CHECK(outcome(jobs, one.then(fail)) == "error: inner");
    }
    SUBCASE("an exception") {
        const auto fail = [](int) -> int { throw std::runtime_error("thrown"); };
        CHECK(outcome(jobs, one.then(fail)) == "error: thrown");
    }
    SUBCASE("from a handler without arguments") {
        CHECK(outcome(jobs, resolved(jobs).then([] { return 5; })) == "5");
    }
}

TEST_CASE("an error travels along the chain to the first handler for errors") {
    JobQueue jobs;
    Log log;
    const Promise<int> end = resolved(jobs, 1)
                                 .then([](int) -> int { throw std::runtime_error("here"); })
                                 .then([&](int n) {
                                     log.emplace_back("skipped");
                                     return n;
                                 })
                                 .catch_error([&](const std::exception_ptr& error) {
                                     log.push_back(text(error));
                                     return 10;
                                 })
                                 .catch_error([&](const std::exception_ptr&) {
                                     log.emplace_back("not again");
                                     return 0;
                                 })
                                 .then([](int n) { return n + 1; });
    CHECK(outcome(jobs, end) == "11");
    CHECK(log == Log{"here"});
}

TEST_CASE("then(on_value, on_error): one of the two runs, never both") {
    JobQueue jobs;
    Log log;
    const auto on_error = [&](const std::exception_ptr& error) { log.push_back(text(error)); };
    resolved(jobs).then([&] { log.emplace_back("value"); }, on_error);
    rejected<void>(jobs, std::runtime_error("error"))
        .then([&] { log.emplace_back("no"); }, on_error);
    const Promise<void> third =
        resolved(jobs).then([] { throw std::runtime_error("from on_value"); }, on_error);
    CHECK(outcome(jobs, third) == "error: from on_value");
    CHECK_MESSAGE((log == Log{"value", "error"}),
                  "on_error must not see what the on_value beside it throws");
}

TEST_CASE("an error handler may throw, or return a promise") {
    JobQueue jobs;
    const Promise<int> broken = rejected<int>(jobs, std::runtime_error("first"));
    const Promise<int> worse = broken.catch_error(
        [](const std::exception_ptr&) -> int { throw std::runtime_error("second"); });
    CHECK(outcome(jobs, worse) == "error: second");
    const Deferred<int> late(jobs);
    const Promise<int> better =
        broken.catch_error([&](const std::exception_ptr&) { return late.promise(); });
    CHECK(outcome(jobs, better) == "pending");
    late.resolve(3);
    CHECK(outcome(jobs, better) == "3");
}

TEST_CASE("any type can be thrown, and arrives") {
    JobQueue jobs;
    const auto thrown = [&](auto value) {
        // NOLINTNEXTLINE(misc-throw-by-value-catch-by-reference,cert-err09-cpp,cert-err61-cpp)
        return outcome(jobs, resolved(jobs).then([value] { throw value; }));
    };
    CHECK(thrown(std::string("a string")) == "error: a string");
    CHECK(thrown("a literal") == "error: a literal");
    CHECK(thrown(42) == "error: an exception that is not a std::exception");
    int number = 0;
    rejected<void>(jobs, std::make_exception_ptr(42))
        .catch_error([&](const std::exception_ptr& error) {
            try {
                std::rethrow_exception(error);
            } catch (int caught) {
                number = caught;
            }
        });
    jobs.run();
    CHECK(number == 42);
}

TEST_CASE("finally() runs whatever the outcome, and does not change it") {
    JobQueue jobs;
    int cleaned = 0;
    const auto clean = [&] { ++cleaned; };
    CHECK(outcome(jobs, resolved(jobs, 1).finally(clean)) == "1");
    CHECK(outcome(jobs, rejected<int>(jobs, std::runtime_error("no")).finally(clean)) ==
          "error: no");
    CHECK(outcome(jobs, resolved(jobs).finally(clean)) == "nothing");
    CHECK(outcome(jobs, resolved(jobs, 1).finally([] { return 99; })) == "1");
    CHECK(cleaned == 3);
}

TEST_CASE("finally() waits for the promise that its function returns") {
    JobQueue jobs;
    const Deferred<int> clean(jobs);
    const Promise<int> promise = resolved(jobs, 1).finally([&] { return clean.promise(); });
    CHECK(outcome(jobs, promise) == "pending");
    SUBCASE("fulfilled") {
        clean.resolve(99);
        CHECK(outcome(jobs, promise) == "1");
    }
    SUBCASE("rejected: that is the error now") {
        clean.reject(std::runtime_error("cleaning failed"));
        CHECK(outcome(jobs, promise) == "error: cleaning failed");
    }
}

TEST_CASE("finally() that throws: that is the error now") {
    JobQueue jobs;
    const auto fail = [] { throw std::runtime_error("cleaning failed"); };
    CHECK(outcome(jobs, resolved(jobs, 1).finally(fail)) == "error: cleaning failed");
    CHECK(outcome(jobs, rejected<int>(jobs, std::runtime_error("first")).finally(fail)) ==
          "error: cleaning failed");
}

TEST_CASE("resolving a promise with itself is an error") {
    Quiet jobs;
    const std::string error = "error: a promise was resolved with itself: it would wait forever";
    SUBCASE("directly") {
        const Deferred<int> deferred(jobs);
        deferred.resolve(deferred.promise());
        CHECK(outcome(jobs, deferred.promise()) == error);
    }
    SUBCASE("by its own handler") {
        std::optional<Promise<void>> self;
        self = resolved(jobs).then([&] { return *self; });
        CHECK(outcome(jobs, *self) == error);
    }
    SUBCASE("in a circle") {
        const Deferred<int> a(jobs);
        const Deferred<int> b(jobs);
        const Deferred<int> c(jobs);
        a.resolve(b.promise());
        b.resolve(c.promise());
        c.resolve(a.promise());
        CHECK(outcome(jobs, a.promise()) == error);
        CHECK(outcome(jobs, b.promise()) == error);
        CHECK(outcome(jobs, c.promise()) == error);
    }
    SUBCASE("it is a TypeError") {
        const Deferred<void> deferred(jobs);
        deferred.resolve(deferred.promise());
        std::exception_ptr caught;
        deferred.promise().catch_error([&](const std::exception_ptr& error) { caught = error; });
        jobs.run();
        REQUIRE(caught);
        CHECK_THROWS_AS(std::rethrow_exception(caught), promises::TypeError);
    }
}

TEST_CASE("one promise may be adopted by many, settled before or after") {
    JobQueue jobs;
    const Deferred<std::string> inner(jobs);
    std::vector<Promise<std::string>> outers;
    const auto adopt = [&] {
        const Deferred<std::string> outer(jobs);
        outer.resolve(inner.promise());
        outers.push_back(outer.promise());
    };
    adopt();
    adopt();
    inner.resolve("yes");
    adopt();
    int seen = 0;
    for (const auto& outer : outers) outer.then([&](const std::string& s) { seen += s == "yes"; });
    inner.promise().then([&](const std::string& s) { seen += s == "yes"; });
    jobs.run();
    CHECK(seen == 4);
}

TEST_CASE("after an adoption, handlers on both promises still run in their order") {
    JobQueue jobs;
    Log log;
    const auto say = [&log](const char* words) {
        return [&log, words] { log.emplace_back(words); };
    };
    const Deferred<void> outer(jobs);
    const Deferred<void> inner(jobs);
    outer.promise().then(say("outer 1"));
    inner.promise().then(say("inner 1"));
    outer.resolve(inner.promise());
    outer.promise().then(say("outer 2"));
    inner.promise().then(say("inner 2"));
    inner.resolve();
    jobs.run();
    CHECK(log == Log{"outer 1", "inner 1", "outer 2", "inner 2"});
}

namespace {

/// Not one of our promises, but it has then().
struct Foreign {
    using value_type = int;
    enum class Manner { value, error, twice, value_then_throw, only_throw, promise };

    template <typename F, typename G>
    void then(F on_value, G on_error) {
        ++*asked;
        if (manner == Manner::only_throw) throw std::runtime_error("then threw");
        if (manner == Manner::promise) return on_value(*promise);
        if (manner != Manner::error) on_value(1);
        on_error(std::make_exception_ptr(std::runtime_error("foreign")));
        if (manner == Manner::twice) on_value(2);
        if (manner == Manner::value_then_throw) throw std::runtime_error("ignored");
    }

    Manner manner;
    int* asked;
    const Promise<int>* promise = nullptr;
};

}  // namespace

TEST_CASE("anything with then() can be adopted, and its first callback counts") {
    JobQueue jobs;
    int asked = 0;
    const Promise<int> real = resolved(jobs, 5);
    const auto adopted = [&](Foreign::Manner manner) {
        return outcome(jobs,
                       resolved(jobs).then([&, manner] { return Foreign{manner, &asked, &real}; }));
    };
    CHECK(adopted(Foreign::Manner::value) == "1");
    CHECK(adopted(Foreign::Manner::error) == "error: foreign");
    CHECK(adopted(Foreign::Manner::twice) == "1");
    CHECK(adopted(Foreign::Manner::value_then_throw) == "1");
    CHECK(adopted(Foreign::Manner::only_throw) == "error: then threw");
    CHECK(adopted(Foreign::Manner::promise) == "5");
    CHECK(asked == 6);
    const Deferred<int> settled(jobs);
    settled.resolve(3);
    settled.resolve(Foreign{Foreign::Manner::value, &asked});
    jobs.run();
    CHECK_MESSAGE(asked == 6, "a settled promise does not call the then() of a thenable");
}

TEST_CASE("a promise of another type is adopted, too, if its value can be converted") {
    JobQueue jobs;
    const Deferred<std::string> deferred(jobs);
    deferred.resolve(resolved(jobs, "text"));
    bool seen = false;
    deferred.promise().then([&](const std::string& s) { seen = s == "text"; });
    jobs.run();
    CHECK(seen);
}

TEST_CASE("handlers see the value itself, not a copy of it") {
    JobQueue jobs;
    const Promise<std::string> promise = resolved(jobs, std::string("text"));
    const std::string* first = nullptr;
    const std::string* second = nullptr;
    promise.then([&](const std::string& s) { first = &s; });
    promise.then([&](const std::string& s) { second = &s; });
    jobs.run();
    CHECK(first != nullptr);
    CHECK(first == second);
}

TEST_CASE("values that can only be moved travel along a chain") {
    JobQueue jobs;
    using Box = std::unique_ptr<int>;
    int seen = 0;
    int looked = 0;
    Promise<Box> promise = resolved(jobs, std::make_unique<int>(1));
    promise.then([&](const Box& box) { looked = *box; });
    std::move(promise)
        .then([](Box box) {
            ++*box;
            return box;
        })
        .catch_error([](const std::exception_ptr&) { return Box(); })
        .finally([] {})
        .then([&](Box box) { return resolved(jobs, std::move(box)); })
        .then([&](Box box) { seen = *box; });
    jobs.run();
    CHECK(looked == 1);
    CHECK(seen == 2);
}

TEST_CASE("consuming a promise takes nothing away from its other handlers") {
    JobQueue jobs;
    const Deferred<std::string> deferred(jobs);
    Promise<std::string> promise = deferred.promise();
    const Promise<std::string> other = promise;
    std::string taken;
    std::move(promise).then([&](std::string s) { taken = std::move(s); });
    const std::string long_text(100, 'x');
    deferred.resolve(long_text);
    jobs.run();
    CHECK(taken == long_text);
    std::string seen;
    other.then([&](const std::string& s) { seen = s; });
    jobs.run();
    CHECK(seen == long_text);
}

TEST_CASE("in a chain values are moved, not copied") {
    struct Counting {
        explicit Counting(int* copies) : copies(copies) {}
        Counting(const Counting& other) : copies(other.copies) { ++*copies; }
        Counting(Counting&&) noexcept = default;
        Counting& operator=(const Counting&) = delete;
        Counting& operator=(Counting&&) = delete;
        ~Counting() = default;
        int* copies;
    };
    JobQueue jobs;
    int copies = 0;
    int arrived = 0;
    resolved(jobs)
        .then([&] { return Counting(&copies); })
        .then([](Counting value) { return value; })
        .finally([] {})
        .then([&](Counting) { ++arrived; });
    jobs.run();
    CHECK(arrived == 1);
    CHECK(copies == 0);
}

TEST_CASE("a value that throws while it is copied rejects; nothing leaves the job queue") {
    struct Fragile {
        Fragile() = default;
        Fragile(const Fragile& /*other*/) { throw std::runtime_error("cannot be copied today"); }
        Fragile(Fragile&&) noexcept = default;
        Fragile& operator=(const Fragile&) = delete;
        Fragile& operator=(Fragile&&) = delete;
        ~Fragile() = default;
    };
    JobQueue jobs;
    const Promise<Fragile> promise = resolved(jobs, Fragile());
    std::string seen;
    promise.catch_error([](const std::exception_ptr&) { return Fragile(); })
        .then([](const Fragile&) {}, [&](const std::exception_ptr& e) { seen = text(e); });
    CHECK_NOTHROW(jobs.run());
    CHECK(seen == "cannot be copied today");
}

TEST_CASE("whichever copy or move of a value throws, the promise is settled and its error known") {
    /// Its `fails_at`th copy or move throws.
    struct Fragile {
        explicit Fragile(int* left) : left(left) {}
        Fragile(const Fragile& other) : left(other.left) {
            if (--*left == 0) throw std::runtime_error("too many copies");
        }
        Fragile& operator=(const Fragile&) = delete;
        ~Fragile() = default;
        int* left;
    };
    for (const bool by_handler : {true, false}) {
        for (int fails_at = 1; fails_at < 6; ++fails_at) {
            CAPTURE(by_handler);
            CAPTURE(fails_at);
            Quiet jobs;
            int left = fails_at;
            const Deferred<Fragile> deferred(jobs);
            Promise<Fragile> promise = deferred.promise();
            try {
                if (by_handler) promise = resolved(jobs).then([&] { return Fragile(&left); });
                if (!by_handler) deferred.resolve(Fragile(&left));
            } catch (...) {
                deferred.reject(std::current_exception());
            }
            std::string seen = "pending";
            promise.then([&](const Fragile&) { seen = "a value"; },
                         [&](const std::exception_ptr& e) { seen = text(e); });
            jobs.run();
            CHECK_MESSAGE(seen == (left > 0 ? "a value" : "too many copies"),
                          "resolve() claims the promise, so it also has to settle it");
        }
    }
}

TEST_CASE("a value that is made of itself, such as a JSON value, can be the value of a promise") {
    struct Json {
        using value_type = Json;
        int number = 0;
    };
    struct Pong;
    struct Ping {
        using value_type = Pong;
    };
    struct Pong {
        using value_type = Ping;
    };
    static_assert(promises::can_be_copied<Json>);
    static_assert(promises::can_be_copied<Ping>);
    static_assert(promises::can_be_copied<std::vector<std::vector<int>>>);
    static_assert(!promises::can_be_copied<std::vector<std::vector<std::unique_ptr<int>>>>);
    static_assert(promises::can_be_copied<std::vector<Promise<void>>>);
    JobQueue jobs;
    int seen = 0;
    resolved(jobs, Json{7}).then([&](Json json) { seen = json.number; });
    jobs.run();
    CHECK(seen == 7);
}

TEST_CASE("handlers may settle, drop and make promises, including their own") {
    JobQueue jobs;
    Log log;
    std::optional<Promise<void>> mine;
    std::optional<Deferred<void>> deferred(std::in_place, jobs);
    const Deferred<int> other(jobs);
    other.promise().then([&](int n) { log.push_back("other " + std::to_string(n)); });
    mine = deferred->promise().then([&] {
        mine.reset();
        deferred.reset();
        other.resolve(1);
        resolved(jobs).then([&] { log.emplace_back("new"); });
        log.emplace_back("mine");
    });
    deferred->resolve();
    jobs.run();
    CHECK(log == Log{"mine", "other 1", "new"});
}

TEST_CASE("a Deferred that is destroyed unsettled leaves its promise pending and frees the chain") {
    JobQueue jobs;
    const auto token = std::make_shared<int>(0);
    std::optional<Deferred<void>> deferred(std::in_place, jobs);
    deferred->promise().then([token] {}).finally([token] {});
    CHECK(token.use_count() == 3);
    deferred.reset();
    CHECK_MESSAGE(token.use_count() == 1,
                  "it can no longer be settled, so its handlers are destroyed");
    std::optional<Promise<void>> kept;
    {
        const Deferred<void> short_lived(jobs);
        kept = short_lived.promise();
    }
    jobs.run();
    CHECK(kept->status() == Status::pending);
}

TEST_CASE("a handler is destroyed when it has run, although its promise lives on") {
    JobQueue jobs;
    const auto token = std::make_shared<int>(0);
    const Promise<void> promise = resolved(jobs);
    const Promise<void> next = promise.then([token] {});
    jobs.run();
    CHECK(token.use_count() == 1);
}

TEST_CASE("run() stops at its budget, and returns whether jobs are left") {
    JobQueue jobs;
    int ran = 0;
    for (int i = 0; i < 5; ++i) resolved(jobs).then([&] { ++ran; });
    CHECK(jobs.run(3));
    CHECK(ran == 3);
    CHECK_FALSE(jobs.run(3));
    CHECK(ran == 5);
}

TEST_CASE("the queue calls wake_up once, each time that it was empty and gets a job") {
    JobQueue jobs;
    int woken = 0;
    jobs.on_work([&] { ++woken; });
    const Promise<void> promise = resolved(jobs);
    CHECK(woken == 0);
    promise.then([] {});
    promise.then([] {});
    CHECK(woken == 1);
    jobs.run();
    promise.then([] {});
    CHECK(woken == 2);
    jobs.run();
}
