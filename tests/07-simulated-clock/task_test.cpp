// Task: results, exceptions, nesting, ownership. See docs/07-simulated-clock.md.
#include "chapters/07-simulated-clock/task.hpp"

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "tests/07-simulated-clock/tools.hpp"

namespace {

using tools::Guest;
using tools::Log;
using tools::many;
using tools::StackUse;
using tools::Task;

Task<int> answer() {
    co_return 42;
}

Task<int> failing() {
    throw std::runtime_error("no answer");
    co_return 0;
}

Task<> say(Log& log, std::string word) {
    log.add(word);
    co_return;
}

/// A result that is move-only and has no default constructor.
struct Precious {
    explicit Precious(int number) : value(std::make_unique<int>(number)) {}
    std::unique_ptr<int> value;
};

Task<Precious> make_precious() {
    co_return Precious(7);
}

/// Suspends forever: it ends only by being destroyed.
Task<> wait_forever(Guest /*guest*/) {
    co_await std::suspend_always();
}

Task<> pass_on(Task<> task, Guest /*guest*/) {
    co_await std::move(task);
}

TEST_CASE("07: a task does nothing until it is awaited or started") {
    Log log;
    Task<> task = say(log, "ran");
    CHECK_MESSAGE(log.text() == "", "a call only creates the task: Task is lazy");
    task.start();
    CHECK(log.text() == "ran");
    CHECK(task.done());
}

TEST_CASE("07: a task that is never awaited is destroyed without running") {
    Log log;
    int alive = 0;
    {
        const Task<> task = wait_forever(Guest(alive));
    }
    {
        const Task<> task = say(log, "ran");
    }
    CHECK(log.text() == "");
    CHECK_MESSAGE(alive == 0, "the arguments are stored in the frame and destroyed with it");
}

TEST_CASE("07: co_await gives the result") {
    int result = 0;
    auto parent = [](int& result) -> Task<> { result = co_await answer(); };
    Task<> task = parent(result);
    task.start();
    CHECK(result == 42);
}

TEST_CASE("07: result() for a caller that is not a coroutine") {
    Task<int> task = answer();
    task.start();
    REQUIRE(task.done());
    CHECK(task.result() == 42);

    Task<int> other = failing();
    other.start();
    REQUIRE(other.done());
    CHECK_THROWS_WITH(other.result(), "no answer");
}

TEST_CASE("07: a result may be move-only, without a default constructor, or an exception_ptr") {
    Task<Precious> precious = make_precious();
    precious.start();
    CHECK(*precious.result().value == 7);

    auto parent = []() -> Task<std::exception_ptr> {
        co_return std::make_exception_ptr(std::runtime_error("just a value"));
    };
    Task<std::exception_ptr> pointer = parent();
    pointer.start();
    CHECK(pointer.result() != nullptr);
}

TEST_CASE("07: an exception is thrown by the co_await") {
    Log log;
    auto parent = [](Log& log) -> Task<> {
        try {
            co_await failing();
            log.add("continued");
        } catch (const std::runtime_error& error) {
            log.add(error.what());
        }
    };
    Task<> task = parent(log);
    task.start();
    CHECK(log.text() == "no answer");
}

TEST_CASE("07: an uncaught exception propagates from task to task") {
    auto middle = []() -> Task<int> { co_return co_await failing() + 1; };
    auto top = [](auto& middle) -> Task<int> { co_return co_await middle() + 1; };
    Task<int> task = top(middle);
    task.start();
    REQUIRE(task.done());
    CHECK_THROWS_WITH(task.result(), "no answer");
}

TEST_CASE("07: awaiting the same task twice is an error, not a crash") {
    Log log;
    auto parent = [](Log& log) -> Task<> {
        Task<int> task = answer();
        co_await std::move(task);
        try {
            co_await std::move(task);  // NOLINT(bugprone-use-after-move): the mistake
            log.add("continued");
        } catch (const std::logic_error&) {
            log.add("logic_error");
        }
    };
    Task<> task = parent(log);
    task.start();
    CHECK(log.text() == "logic_error");
}

TEST_CASE("07: a task that was started cannot be awaited, nor started again, and goes on") {
    // One that waits, and one that has finished.
    for (const bool waits : {true, false}) {
        int alive = 0;
        Log log;
        auto child = [](bool waits, Guest) -> Task<> {
            if (waits) co_await std::suspend_always();
        };
        auto parent = [](Task<>& task, Log& log) -> Task<> {
            try {
                co_await std::move(task);
                log.add("continued");
            } catch (const std::logic_error&) {
                log.add("logic_error");
            }
        };
        Task<> task = child(waits, Guest(alive));
        task.start();
        Task<> awaiting = parent(task, log);
        awaiting.start();
        CHECK(awaiting.done());
        CHECK(log.text() == "logic_error");
        CHECK_THROWS_AS(task.start(), std::logic_error);
        CHECK_MESSAGE(task.done() == !waits, "the task is as it was");
        CHECK_MESSAGE(alive == 1, "its frame exists, with its arguments");
    }
}

TEST_CASE("07: a task that was moved away cannot be started") {
    Task<int> task = answer();
    Task<int> other = std::move(task);
    CHECK_THROWS_AS(task.start(), std::logic_error);  // NOLINT(bugprone-use-after-move)
    other.start();
    CHECK(other.result() == 42);
}

TEST_CASE("07: a task may be assigned one that lives in its own frame") {
    int alive = 0;
    Task<>* inner = nullptr;
    auto outer = [](int& alive, Task<>*& address) -> Task<> {
        const Guest guest(alive);
        Task<> task = wait_forever(Guest(alive));
        address = &task;
        co_await std::suspend_always();
    };
    Task<> task = outer(alive, inner);
    task.start();
    REQUIRE(alive == 2);
    task = std::move(*inner);
    CHECK_MESSAGE(alive == 1, "the outer frame is gone, and the task has the inner one");
    task.start();
    CHECK(!task.done());
}

TEST_CASE("07: an exception that is no std::exception is thrown by the co_await, too") {
    auto fails = []() -> Task<> {
        throw 42;
        co_return;
    };
    auto parent = [](auto& fails, int& caught) -> Task<> {
        try {
            co_await fails();
        } catch (const int number) {
            caught = number;
        }
    };
    int caught = 0;
    Task<> task = parent(fails, caught);
    task.start();
    CHECK(caught == 42);

    Task<> alone = fails();
    alone.start();
    REQUIRE(alone.done());
    CHECK_THROWS_AS(alone.result(), int);
}

TEST_CASE("07: a result whose move throws is an exception of the task") {
    struct Fragile {
        Fragile() = default;
        Fragile(Fragile&&) { throw std::runtime_error("broken on the way"); }
        Fragile& operator=(Fragile&&) = delete;
        ~Fragile() = default;
    };
    auto make = []() -> Task<Fragile> { co_return Fragile(); };
    Task<Fragile> task = make();
    task.start();
    REQUIRE(task.done());
    CHECK_THROWS_WITH(task.result(), "broken on the way");
}

TEST_CASE("07: what a task awaited before is not part of the chain any more") {
    int alive = 0;
    auto child = [](Guest) -> Task<> { co_return; };
    auto parent = [](auto& child, int& alive) -> Task<> {
        Task<> first = child(Guest(alive));
        co_await std::move(first);
        const Guest guest(alive);
        co_await std::suspend_always();
    };
    {
        Task<> task = parent(child, alive);
        task.start();
        CHECK(alive == 1);
    }
    CHECK(alive == 0);
}

TEST_CASE("07: the frame of an awaited task is destroyed when its co_await ends") {
    int alive = 0;
    auto child = [](Guest) -> Task<> { co_return; };
    auto parent = [](auto& child, int& alive, int& alive_after) -> Task<> {
        Task<> task = child(Guest(alive));
        co_await std::move(task);
        alive_after = alive;
    };
    int alive_after = -1;
    Task<> task = parent(child, alive, alive_after);
    task.start();
    CHECK(alive_after == 0);
}

TEST_CASE("07: assigning to a task destroys the old one") {
    int alive = 0;
    Task<> task = wait_forever(Guest(alive));
    task.start();
    task = wait_forever(Guest(alive));
    CHECK(alive == 1);
    Task<>& same = task;
    task = std::move(same);
    CHECK_MESSAGE(alive == 1, "assigning a task to itself keeps it");
}

TEST_CASE("07: destroying a task destroys the tasks below it, the innermost first") {
    struct Tell {
        Log* log;
        std::string word;
        Tell(Log& to, std::string what) : log(&to), word(std::move(what)) {}
        Tell(const Tell&) = delete;
        Tell& operator=(const Tell&) = delete;
        ~Tell() { log->add(word); }
    };
    Log log;
    {
        auto inner = [](Log& log) -> Task<> {
            const Tell tell(log, "inner");
            co_await std::suspend_always();
        };
        auto middle = [](auto& inner, Log& log) -> Task<> {
            const Tell tell(log, "middle");
            co_await inner(log);
        };
        auto outer = [](auto& middle, auto& inner, Log& log) -> Task<> {
            const Tell tell(log, "outer");
            co_await middle(inner, log);
        };
        Task<> task = outer(middle, inner, log);
        task.start();
        CHECK(log.text() == "");
    }
    CHECK(log.text() == "inner middle outer");
}

TEST_CASE("07: destroying a chain of a million suspended tasks does not grow the stack") {
    int alive = 0;
    Task<> task = wait_forever(Guest(alive));
    for (int i = 1; i < many; ++i) task = pass_on(std::move(task), Guest(alive));
    task.start();
    CHECK(alive == many);
    {
        const Task<> gone = std::move(task);
    }
    CHECK(alive == 0);
}

TEST_CASE("07: an awaited task starts and ends by a jump: a million nested awaits") {
    StackUse stack;
    Task<int> task = tools::level(many, stack);
    task.start();
    REQUIRE(task.done());
    CHECK(task.result() == many);
    if (tools::jumps)
        CHECK_MESSAGE(stack.bytes() < 1'000, "each await left something on the stack");
}

TEST_CASE("07: a million awaits, one after another, leave nothing on the stack") {
    auto parent = [](StackUse& stack) -> Task<int> {
        int sum = 0;
        for (int i = 0; i < many; ++i) {
            sum += co_await answer() - 41;
            stack.note();
        }
        co_return sum;
    };
    StackUse stack;
    Task<int> task = parent(stack);
    task.start();
    REQUIRE(task.done());
    CHECK(task.result() == many);
    if (tools::jumps)
        CHECK_MESSAGE(stack.bytes() < 1'000, "each await left something on the stack");
}

TEST_CASE("07: an exception through a hundred thousand tasks") {
    struct Down {
        static Task<int> level(int depth) {
            if (depth == 0) throw std::runtime_error("from the bottom");
            co_return co_await level(depth - 1);
        }
    };
    Task<int> task = Down::level(many / 10);
    task.start();
    REQUIRE(task.done());
    CHECK_THROWS_WITH(task.result(), "from the bottom");
}

}  // namespace
