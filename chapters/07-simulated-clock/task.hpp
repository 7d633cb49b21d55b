// A task: a coroutine that starts when it is awaited and hands its result to
// the coroutine that awaits it.
#pragma once

#include <coroutine>
#include <exception>
#include <stdexcept>
#include <utility>
#include <variant>

#include "chapters/07-simulated-clock/frame_pool.hpp"
#include "chapters/07-simulated-clock/task_chain.hpp"

namespace simulated {

/// A coroutine that computes a T and may wait on the way. A T can be moved; it
/// need not be copyable, assignable or default-constructible. Calling it
/// creates the task; it starts when it is awaited:
///
///     Task<int> price(EventLoop& loop) {
///         co_await loop.async_sleep(2);
///         co_return 42;
///     }
///     Task<> buy(EventLoop& loop) {
///         const int cost = co_await price(loop);
///     }
///
/// The `co_await` throws the exception that leaves the task, if one does.
///
/// A Task owns the coroutine's frame. Destroying it while the coroutine is
/// suspended cancels the task: the coroutine's variables are destroyed, and so
/// is the task that it awaits. A task must not destroy itself, nor a task that
/// awaits it.
template <typename T = void>
class [[nodiscard]] Task {
public:
    /// The compiler talks to the coroutine through this class.
    class promise_type;

    Task(Task&& other) noexcept
        : frame_(std::exchange(other.frame_, nullptr)) {}

    Task& operator=(Task&& other) noexcept {
        // Destroyed at the end of this function, when both tasks have their new
        // frames: `other` may be a variable of the old one.
        Task old(std::exchange(frame_, std::exchange(other.frame_, nullptr)));
        return *this;
    }

    ~Task() {
        if (frame_) destroy_chain(frame_.promise());
    }

    /// Starts the task. The value of the `co_await` is the task's result. The
    /// awaiter takes the task over, so it can be awaited only once: the second
    /// `co_await` throws std::logic_error, and so does one after start().
    auto operator co_await() && {
        require_not_started();
        return Awaiter(std::move(*this));
    }

    /// For callers that are not coroutines: runs the task up to its first
    /// suspension. Throws std::logic_error if the task has been started.
    void start() {
        require_not_started();
        frame_.promise().started = true;
        frame_.resume();
    }

    /// Returns true when the task has run to its end. Requires that it was not
    /// awaited or moved from.
    [[nodiscard]] bool done() const { return frame_.done(); }

    /// Returns the result of a task that is done, or throws the exception that
    /// ended it.
    T result() { return frame_.promise().take(); }

private:
    class Awaiter;

    explicit Task(std::coroutine_handle<promise_type> frame) : frame_(frame) {}

    void require_not_started() const {
        if (!frame_) {
            throw std::logic_error(
                "this task was moved away: it was awaited already?");
        }
        if (frame_.promise().started)
            throw std::logic_error("this task was started already: by start()");
    }

    std::coroutine_handle<promise_type> frame_;
};

/// The end of a task: suspends it for good and resumes its continuation, the
/// coroutine that awaits it. Returning a handle from await_suspend is a jump,
/// not a call (symmetric transfer): when a million nested tasks finish, the
/// stack does not grow.
struct FinalAwaiter : std::suspend_always {
    template <typename Promise>
    [[nodiscard]] std::coroutine_handle<> await_suspend(
        std::coroutine_handle<Promise> finished) const noexcept {
        return finished.promise().continuation;
    }
};

/// The part of a task's promise that does not depend on the result.
struct TaskPromiseBase : PooledFrame, ChainLink {
    // Resumed when the task is done.
    std::coroutine_handle<> continuation = std::noop_coroutine();
    // By start(), so no coroutine awaits it.
    bool started = false;
};

/// The part of a task's promise that stores the result, or the exception, until
/// the awaiting coroutine takes it.
template <typename T>
class TaskPromise : public TaskPromiseBase {
public:
    template <typename Value>
    void return_value(Value&& value) {
        outcome_.template emplace<1>(std::forward<Value>(value));
    }

    void unhandled_exception() noexcept {
        outcome_.template emplace<2>(std::current_exception());
    }

    T take() {
        if (outcome_.index() == 2)
            std::rethrow_exception(std::get<2>(outcome_));
        return std::move(std::get<1>(outcome_));
    }

private:
    std::variant<std::monostate, T, std::exception_ptr> outcome_;
};

template <>
class TaskPromise<void> : public TaskPromiseBase {
public:
    void return_void() const noexcept {}
    void unhandled_exception() noexcept { error_ = std::current_exception(); }

    void take() const {
        if (error_) std::rethrow_exception(error_);
    }

private:
    std::exception_ptr error_;
};

template <typename T>
class Task<T>::promise_type : public TaskPromise<T> {
public:
    Task get_return_object() {
        const auto frame =
            std::coroutine_handle<promise_type>::from_promise(*this);
        this->frame = frame;
        return Task(frame);
    }

    [[nodiscard]] std::suspend_always initial_suspend() const noexcept {
        return {};
    }
    [[nodiscard]] FinalAwaiter final_suspend() const noexcept { return {}; }
};

/// Lives in the parent's frame while the parent awaits the task, and owns it.
template <typename T>
class Task<T>::Awaiter : public std::suspend_always {
public:
    explicit Awaiter(Task task) : task_(std::move(task)) {}
    Awaiter(const Awaiter&) = delete;
    Awaiter& operator=(const Awaiter&) = delete;
    ~Awaiter() {
        if (link_.child_was_destroyed()) task_.frame_ = nullptr;
    }

    /// `parent` is suspended by now. Starts the task, by a jump. At its end the
    /// task resumes `parent`.
    template <typename Promise>
    std::coroutine_handle<> await_suspend(
        std::coroutine_handle<Promise> parent) noexcept {
        link_.connect(parent.promise(), task_.frame_.promise());
        // EXERCISE 07.1
        task_.frame_.promise().continuation = parent;
        return task_.frame_;
        // END 07.1
    }

    T await_resume() {
        link_.disconnect();
        // EXERCISE 07.1
        return task_.frame_.promise().take();
        // END 07.1
    }

private:
    Task task_;
    ParentLink link_;
};

}  // namespace simulated
