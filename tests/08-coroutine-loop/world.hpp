// What the tests of chapter 08 share: a loop in virtual time, and traces of frames.
#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "chapters/05-callback-loop/clock.hpp"
#include "chapters/08-coroutine-loop/combine.hpp"
#include "chapters/08-coroutine-loop/event_loop.hpp"

/// So that a log that is wrong is printed.
template <>
struct doctest::StringMaker<std::vector<std::string>> {
    static doctest::String convert(const std::vector<std::string>& lines) {
        std::string text;
        for (const std::string& line : lines) text += "\n    " + line;
        return text.c_str();
    }
};

namespace testing {

inline std::string text(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& exception) {
        return exception.what();
    } catch (...) {
        return "not a std::exception";
    }
}

/// One of the two clocks, which counts the waits of the loop.
template <class Clock>
struct Counting : Clock {
    [[nodiscard]] std::chrono::milliseconds poll_timeout(callbacks::TimePoint next) const override {
        ++waits;
        return Clock::poll_timeout(next);
    }
    mutable int waits = 0;
};

/// A loop on a clock that jumps, and what its tasks leave behind.
struct World {
    callbacks::SimulatedClock clock;
    std::vector<std::string> log;
    std::vector<std::string> errors;  // "task: what it said"
    coroutines::EventLoop loop{clock, [this](const std::string& task, std::exception_ptr error) {
                                   errors.push_back(task + ": " + text(error));
                               }};

    [[nodiscard]] long long milliseconds() const {
        return std::chrono::duration_cast<std::chrono::milliseconds>(clock.now().time_since_epoch())
            .count();
    }

    /// "200: TEXT"
    void note(const std::string& words) {
        log.push_back(std::to_string(milliseconds()) + ": " + words);
    }

    /// Checks that no task waits for anything any more.
    [[nodiscard]] bool is_quiet() const { return loop.waiting() == 0 && loop.sleeping() == 0; }
};

/// As a variable of a coroutine, it counts the frames that are alive.
class Trace {
public:
    explicit Trace(int& alive) : alive_(alive) { ++alive_; }
    Trace(const Trace&) = delete;
    Trace& operator=(const Trace&) = delete;
    ~Trace() { --alive_; }

private:
    int& alive_;
};

/// Runs `task` on `loop` until it is finished; what it throws is thrown here. A task that never
/// ends throws TimedOut: after an hour of virtual time, at once, or of a deadline in real time.
template <typename T>
void finish(coroutines::EventLoop& loop, coroutines::Task<T> task,
            coroutines::Duration limit = std::chrono::hours(1)) {
    std::exception_ptr failure;
    const auto guard = [](coroutines::EventLoop& the_loop, coroutines::Task<T> the_task,
                          coroutines::Duration at_most,
                          std::exception_ptr& error) -> coroutines::Task<> {
        try {
            co_await coroutines::with_timeout(the_loop, std::move(the_task), at_most);
        } catch (...) {
            error = std::current_exception();
        }
    };
    loop.spawn("test", guard(loop, std::move(task), limit, failure));
    loop.run();
    if (failure) std::rethrow_exception(failure);
}

/// Runs `loop` until `task` is finished; what it throws is thrown here. False: after an hour of
/// virtual time it is not. The other tasks are left as they are then, wherever they wait.
/// Needs nothing but spawn() and async_sleep(): all the rest may be an exercise that is not done.
[[nodiscard]] inline bool ends(coroutines::EventLoop& loop, coroutines::Task<> task,
                               coroutines::Duration limit = std::chrono::hours(1)) {
    bool ended = false;
    std::exception_ptr failure;
    const auto watch = [](coroutines::EventLoop& the_loop,
                          coroutines::Duration at_most) -> coroutines::Task<> {
        co_await the_loop.async_sleep(at_most);
        the_loop.stop();
    };
    const auto guard = [](coroutines::EventLoop& the_loop, coroutines::Task<> the_task, bool& done,
                          std::exception_ptr& error) -> coroutines::Task<> {
        try {
            co_await std::move(the_task);
        } catch (...) {
            error = std::current_exception();
        }
        done = true;
        the_loop.stop();
    };
    auto limited = loop.spawn("limit", watch(loop, limit));
    auto guarded = loop.spawn("test", guard(loop, std::move(task), ended, failure));
    loop.run();
    limited.cancel();
    guarded.cancel();
    if (failure) std::rethrow_exception(failure);
    return ended;
}

}  // namespace testing
