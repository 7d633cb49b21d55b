// Exercise 07.1: a task that awaits a task. There is no loop here: the test itself resumes.
#include <doctest/doctest.h>

#include <coroutine>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

#include "chapters/07-simulated-clock/task.hpp"
#include "tests/07-simulated-clock/probes.hpp"

namespace {

using simulated::Task;
using tools::Log;
using tools::StackUse;

/// `co_await gate.wait()` resumes when the test calls gate.open(). For one task at a time.
class Gate {
public:
    class Wait : public std::suspend_always {
    public:
        explicit Wait(Gate& gate) : gate_(gate) {}
        void await_suspend(std::coroutine_handle<> waiting) noexcept { gate_.waiting_ = waiting; }

    private:
        Gate& gate_;
    };

    Wait wait() { return Wait(*this); }
    void open() { std::exchange(waiting_, std::noop_coroutine()).resume(); }

private:
    std::coroutine_handle<> waiting_ = std::noop_coroutine();
};

Task<int> answer() {
    co_return 42;
}

Task<int> fail_behind(Gate& gate) {
    co_await gate.wait();
    throw std::runtime_error("no answer");
}

/// The outcome of a finished Task<int>, in words.
std::string outcome_of(Task<int>& task) {
    try {
        return "the result " + std::to_string(task.result());
    } catch (const std::exception& error) {
        return std::string("the exception \"") + error.what() + '"';
    } catch (...) {
        return "another exception";
    }
}

/// Requires that the task has ended. It has not if a task that it awaits ends without resuming it.
template <typename T>
void require_done(const Task<T>& task) {
    REQUIRE_MESSAGE(
        task.done(),
        "the awaited task has ended, and the coroutine that awaits it was never resumed. "
        "FinalAwaiter returns the continuation, which must have been stored "
        "(docs/07, \"Which coroutine resumes which\")");
}

/// Checks that the awaits left nothing on the stack. (g++ with AddressSanitizer cannot jump.)
void check_stack(const StackUse& stack, int awaits) {
    if (!tools::jumps) return;
    CHECK_MESSAGE(stack.bytes() < 1'000, awaits, " awaits left ", stack.bytes(),
                  " bytes on the stack, so a million would end the program. Something calls "
                  "resume() and stays on the stack until that returns. Return the handle instead: "
                  "that is a jump (docs/07, \"Which coroutine resumes which\")");
}

TEST_CASE("07.1 the value of a co_await is the task's result") {
    INFO("parent() awaited answer(), which ends at once with co_return 42");
    auto parent = []() -> Task<int> { co_return co_await answer() + 1; };
    Task<int> task = parent();
    task.start();
    require_done(task);
    const std::string outcome = outcome_of(task);
    CHECK_MESSAGE(
        outcome == "the result 43",
        "the value of the co_await should be 42, and parent()'s result 43; it ended with ", outcome,
        ". (If it is about a wrong variant index, nothing was stored: return_value() did not "
        "store it, or answer() never ran)");
}

TEST_CASE("07.1 the parent is resumed when the task is done, and not before") {
    auto child = [](Gate& gate, Log& log) -> Task<> {
        log.add("child");
        co_await gate.wait();
        log.add("child-again");
    };
    auto parent = [](auto& child, Gate& gate, Log& log) -> Task<> {
        log.add("parent");
        Task<> task = child(gate, log);
        log.add("has-a-task");
        co_await std::move(task);
        log.add("parent-again");
    };
    Log log;
    Gate gate;
    Task<> task = parent(child, gate, log);
    INFO("parent() called child(), then awaited the task; child() waited at a gate");
    task.start();
    CHECK_MESSAGE(
        log.text() == "parent has-a-task child",
        "a task starts when it is awaited, and waits at the gate now; what ran is: ", log.text());
    INFO("then the gate was opened");
    gate.open();
    CHECK_MESSAGE(
        log.text() == "parent has-a-task child child-again parent-again",
        "child() should have ended, and then parent() continued; what ran is: ", log.text());
    require_done(task);
}

/// While it exists, an exception that ends the program first prints where it should have gone.
class LastWords {
public:
    LastWords() : before_(std::set_terminate(&say)) {}
    LastWords(const LastWords&) = delete;
    LastWords& operator=(const LastWords&) = delete;
    ~LastWords() { std::set_terminate(before_); }

private:
    [[noreturn]] static void say() {
        std::puts(
            "an exception left unhandled_exception(). Below it on the stack is the code that "
            "resumed "
            "the task, not the coroutine that awaits it. Store it (std::current_exception()), and "
            "let take() throw it in the right place");
        std::fflush(stdout);
        std::abort();
    }

    std::terminate_handler before_;
};

TEST_CASE("07.1 a task's exception is thrown by the co_await") {
    auto parent = [](Gate& gate, Log& log) -> Task<> {
        try {
            co_await fail_behind(gate);
            log.add("nothing");
        } catch (const std::runtime_error& error) {
            log.add(error.what());
        } catch (const std::exception& error) {
            log.add(std::string("another exception, ") + error.what());
        }
    };
    Log log;
    Gate gate;
    Task<> task = parent(gate, log);
    const LastWords last_words;
    INFO("parent() awaited a task that waited at a gate and then threw \"no answer\"");
    task.start();
    gate.open();
    require_done(task);
    CHECK_MESSAGE(
        log.text() == "no answer",
        "the co_await should have thrown \"no answer\"; what was thrown is ", log.text(),
        ". unhandled_exception() stores std::current_exception(), and take() rethrows it");
}

TEST_CASE("07.1 an uncaught exception propagates from task to task, up to the first one") {
    auto middle = [](Gate& gate) -> Task<int> { co_return co_await fail_behind(gate) + 1; };
    auto top = [](auto& middle, Gate& gate) -> Task<int> { co_return co_await middle(gate) + 1; };
    Gate gate;
    Task<int> task = top(middle, gate);
    const LastWords last_words;
    INFO("top() awaited middle(), which awaited a task that threw \"no answer\"");
    task.start();
    gate.open();
    require_done(task);
    const std::string outcome = outcome_of(task);
    CHECK_MESSAGE(outcome == "the exception \"no answer\"",
                  "top() should have ended with the exception \"no answer\"; it ended with ",
                  outcome);
}

/// Counts how often it was copied.
struct Heavy {
    explicit Heavy(int& count) : copies(&count) {}
    Heavy(const Heavy& other) : copies(other.copies) { ++*copies; }
    Heavy(Heavy&&) = default;
    Heavy& operator=(const Heavy&) = delete;
    Heavy& operator=(Heavy&&) = delete;
    ~Heavy() = default;
    int* copies;
};

TEST_CASE("07.1 a result is handed over, not copied") {
    auto child = [](int& copies) -> Task<Heavy> { co_return Heavy(copies); };
    auto parent = [](auto& child, int& copies) -> Task<> {
        const Heavy heavy = co_await child(copies);
    };
    int copies = 0;
    Task<> task = parent(child, copies);
    INFO("child() returned something large, and parent() awaited it");
    task.start();
    require_done(task);
    CHECK_MESSAGE(copies == 0, "the result was copied ", copies,
                  " times. Nothing else needs it: std::forward it in, std::move it out");
}

constexpr int awaits = 1'000;

TEST_CASE("07.1 a thousand awaits, one after another, leave nothing on the stack") {
    auto parent = [](StackUse& stack) -> Task<> {
        for (int i = 0; i < awaits; ++i) {
            co_await answer();
            stack.note();
        }
    };
    StackUse stack;
    Task<> task = parent(stack);
    INFO("parent() awaited answer() a thousand times, in a loop");
    task.start();
    require_done(task);
    check_stack(stack, awaits);
}

TEST_CASE("07.1 a thousand tasks, each awaiting the next one, need no stack") {
    StackUse stack;
    Task<int> task = tools::level(awaits, stack);
    INFO(
        "level(1000) awaited level(999), and so on; level(1) ended, then level(2), up to "
        "level(1000)");
    task.start();
    require_done(task);
    CHECK(outcome_of(task) == "the result 1000");
    check_stack(stack, awaits);
}

}  // namespace
