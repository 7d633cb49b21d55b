// co_await for chapter 06's Promise: then(), with the rest of the function as
// its handler.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

#include "chapters/06-promises/promise.hpp"

namespace coroutines {

template <typename T>
class PromiseAwaiter {
public:
    explicit PromiseAwaiter(promises::Promise<T> promise)
        : promise_(std::move(promise)) {}

    /// Handlers never run inside then(), so neither does the rest of the
    /// function.
    [[nodiscard]] bool await_ready() const noexcept { return false; }

    /// Storing the value is a step of its own: if that throws, the second step
    /// gets the exception, like any other error.
    void await_suspend(std::coroutine_handle<> rest) {
        std::move(promise_)
            .then([this](auto&&... value) {
                value_.emplace(std::forward<decltype(value)>(value)...);
            })
            .then([rest] { rest.resume(); },
                  [this, rest](const std::exception_ptr& error) {
                      error_ = error;
                      rest.resume();
                  });
    }

    T await_resume() {
        if (error_) std::rethrow_exception(error_);
        if constexpr (!std::is_void_v<T>) return std::move(*value_);
    }

private:
    promises::Promise<T> promise_;
    std::optional<promises::Stored<T>> value_;
    std::exception_ptr error_;
};

}  // namespace coroutines

namespace promises {

/// Found by argument-dependent lookup. A value that cannot be copied is moved
/// out of the promise, so only one coroutine can get it.
///
/// The coroutine must not be destroyed while it waits: the handler would resume
/// a frame that is gone, and a Promise has no way to remove a handler.
template <typename T>
coroutines::PromiseAwaiter<T> operator co_await(Promise<T> promise) {
    return coroutines::PromiseAwaiter<T>(std::move(promise));
}

}  // namespace promises
