// A task: a coroutine that starts when it is awaited, and hands its result to
// whoever awaits it.
#pragma once

#include <coroutine>
#include <exception>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <variant>

#include "chapters/07-simulated-clock/frame_pool.hpp"

namespace simulated {

class UniqueFrame;

/// What the compiler does at the end of a task: suspend it for good, and go on
/// with whoever awaits it. Returning a handle from await_suspend is a jump, not
/// a call (symmetric transfer): finishing a million tasks, each awaited by the
/// next, does not grow the stack.
struct FinalAwaiter : std::suspend_always {
    template <typename Promise>
    [[nodiscard]] std::coroutine_handle<> await_suspend(
        std::coroutine_handle<Promise> finished) const noexcept {
        return finished.promise().continuation;
    }
};

/// The part of a task's promise_type that does not depend on the result.
struct TaskPromiseBase : PooledFrame {
    // Goes on when this one is done
    std::coroutine_handle<> continuation = std::noop_coroutine();
    // The task that this one waits for
    UniqueFrame* child = nullptr;
};

/// The promise_type of a task: the compiler calls it where the coroutine
/// returns or throws, and it keeps what came until somebody takes it.
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

/// Owns the frame of a task, or nothing. Can be moved, not copied.
class UniqueFrame {
public:
    UniqueFrame() = default;

    UniqueFrame(std::coroutine_handle<> frame, TaskPromiseBase& promise)
        : frame_(frame), promise_(&promise) {}

    UniqueFrame(UniqueFrame&& other) noexcept
        : frame_(std::exchange(other.frame_, nullptr)),
          promise_(other.promise_) {}

    UniqueFrame& operator=(UniqueFrame&& other) noexcept {
        if (this != &other) {
            destroy();
            frame_ = std::exchange(other.frame_, nullptr);
            promise_ = other.promise_;
        }
        return *this;
    }

    ~UniqueFrame() { destroy(); }

    [[nodiscard]] std::coroutine_handle<> frame() const { return frame_; }
    [[nodiscard]] TaskPromiseBase& promise() const { return *promise_; }

    /// Destroys the frame, and with it everything that lives there: the task's
    /// variables, and the task that it waits for. That one owns the next in the
    /// same way, so the plain `frame_.destroy()` would recurse once for each
    /// task of the chain. Therefore: from the far end.
    void destroy() noexcept {
        if (!frame_) return;
        // Down to the task that waits for no other, turning the links round on
        // the way,
        UniqueFrame* parent = nullptr;
        UniqueFrame* task = this;
        while (UniqueFrame* child =
                   std::exchange(task->promise_->child, parent)) {
            parent = task;
            task = child;
        }
        // and back up: when a frame is destroyed, the task it waited for is
        // gone already.
        while (task != nullptr) {
            parent = task->promise_->child;
            std::exchange(task->frame_, nullptr).destroy();
            task = parent;
        }
    }

private:
    std::coroutine_handle<> frame_;
    TaskPromiseBase* promise_ = nullptr;
};

/// A coroutine that computes a T, step by step, with waits in between. Calling
/// it creates it; it starts when it is awaited:
///
///     Task<int> price(EventLoop& loop) { co_await loop.async_sleep(2);
///     co_return 42; } Task<> buy(EventLoop& loop) { const int cost = co_await
///     price(loop); ... }
///
/// An exception that leaves it is thrown by the `co_await` of whoever awaits
/// it. The Task owns the coroutine: destroying it, at any point where the
/// coroutine is suspended, destroys the coroutine's variables and everything
/// that it waits for. That is how a task is cancelled. A task must not destroy
/// itself or one that awaits it.
template <typename T = void>
class [[nodiscard]] Task {
public:
    class promise_type : public TaskPromise<T> {
    public:
        Task get_return_object() {
            return Task(UniqueFrame(
                std::coroutine_handle<promise_type>::from_promise(*this),
                *this));
        }

        [[nodiscard]] std::suspend_always initial_suspend() const noexcept {
            return {};
        }
        [[nodiscard]] FinalAwaiter final_suspend() const noexcept { return {}; }
    };

    /// Starts the task; the value of the `co_await` is the task's result. Each
    /// task can be awaited once: the awaiter takes it over. Throws
    /// std::logic_error where there is none to take.
    auto operator co_await() && { return Awaiter(std::move(owner_)); }

    /// For whoever is not a coroutine: runs the task up to its first
    /// suspension. Only once.
    void start() { owner_.frame().resume(); }

    /// Has it run to its end? Requires that it was not awaited or moved away.
    [[nodiscard]] bool done() const { return owner_.frame().done(); }

    /// After it is done: its result, or the exception that ended it.
    T result() { return static_cast<promise_type&>(owner_.promise()).take(); }

private:
    class Awaiter {
    public:
        explicit Awaiter(UniqueFrame task) : task_(std::move(task)) {}

        [[nodiscard]] bool await_ready() const {
            if (!task_.frame()) {
                throw std::logic_error(
                    "this task was moved away: it was awaited already?");
            }
            return false;
        }

        /// `parent` is suspended by now. The task starts, by a jump, and will
        /// go on with `parent`.
        template <typename Promise>
        std::coroutine_handle<> await_suspend(
            std::coroutine_handle<Promise> parent) noexcept {
            if constexpr (std::is_base_of_v<TaskPromiseBase, Promise>) {
                slot_in_parent_ = &parent.promise().child;
                *slot_in_parent_ = &task_;
            }
            // EXERCISE 07.1
            task_.promise().continuation = parent;
            return task_.frame();
            // END 07.1
        }

        T await_resume() {
            if (slot_in_parent_ != nullptr) *slot_in_parent_ = nullptr;
            // EXERCISE 07.1
            return static_cast<promise_type&>(task_.promise()).take();
            // END 07.1
        }

    private:
        UniqueFrame task_;
        UniqueFrame** slot_in_parent_ = nullptr;
    };

    explicit Task(UniqueFrame owner) : owner_(std::move(owner)) {}

    UniqueFrame owner_;
};

}  // namespace simulated
