// The outcome of a promise as text, for tests.
#pragma once

#include <doctest/doctest.h>

#include <cstddef>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "chapters/06-promises/promise.hpp"

namespace testing {

/// A queue that does not report unhandled errors, for tests of other things.
struct Quiet : promises::JobQueue {
    Quiet() {
        on_unhandled([](const std::exception_ptr&) {});
    }
};

/// Runs every job. Fails the test if there is no end, or if a handler's exception comes out.
inline void run(promises::JobQueue& jobs) {
    bool some_are_left = false;
    std::exception_ptr thrown;
    try {
        some_are_left = jobs.run(10'000);
    } catch (...) {
        thrown = std::current_exception();
    }
    REQUIRE_MESSAGE(
        !thrown, "jobs.run() has thrown \"", promises::message(thrown),
        "\". What a handler throws rejects the promise that its then() has returned, "
        "and comes out nowhere else (docs/06-promises.md, What a handler returns or throws)");
    REQUIRE_MESSAGE(!some_are_left,
                    "10,000 jobs have run, and there are still some in the queue: is a handler "
                    "pushed again and again?");
}

inline std::string shown(int value) {
    return std::to_string(value);
}
inline std::string shown(double value) {
    return std::to_string(value);
}
inline std::string shown(const std::string& value) {
    return value;
}

/// "[10 20 30]"
template <typename T>
std::string shown(const std::vector<T>& values) {
    std::string all;
    for (const T& value : values) all += (all.empty() ? "" : " ") + shown(value);
    return "[" + all + "]";
}

/// Returns the outcome of the promise after every job has run: its value, "nothing" for a
/// Promise<void>, "error: why", or "pending".
template <typename T>
std::string outcome(promises::JobQueue& jobs, const promises::Promise<T>& promise) {
    const auto result = std::make_shared<std::string>("pending");
    promise.then(
        [result](const auto&... value) {
            if constexpr (sizeof...(value) == 0) {
                *result = "nothing";
            } else {
                *result = (shown(value) + ...);
            }
        },
        [result](const std::exception_ptr& error) {
            *result = "error: " + promises::message(error);
        });
    run(jobs);
    return *result;
}

/// Three promises of numbers, and their Deferreds.
struct Three {
    Quiet jobs;
    std::vector<promises::Deferred<int>> ends{promises::Deferred<int>(jobs),
                                              promises::Deferred<int>(jobs),
                                              promises::Deferred<int>(jobs)};

    std::vector<promises::Promise<int>> promises() {
        return {ends[0].promise(), ends[1].promise(), ends[2].promise()};
    }
    void resolve(std::size_t i, int value) {
        ends[i].resolve(value);
        run(jobs);
    }
    void reject(std::size_t i, const char* why) {
        ends[i].reject(std::runtime_error(why));
        run(jobs);
    }
};

}  // namespace testing
