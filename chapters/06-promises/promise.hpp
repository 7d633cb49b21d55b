// A value that is not there yet.
//
//     pending --- resolve(value) ---> fulfilled
//        \------- reject(error) ----> rejected        once, and forever
//
// A Deferred is the end that knows the outcome, and a Promise is the end that
// waits for it. then() registers a handler and returns a promise itself: the
// promise of what the handler returns.
#pragma once

#include <concepts>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>
#include <variant>

#include "chapters/06-promises/job_queue.hpp"
#include "chapters/06-promises/state.hpp"

namespace promises {

template <typename T>
class Deferred;

// The jobs of then() and finally(): see the end of this file.
template <typename T, bool consume, typename F, typename G>
struct Then;
template <typename T, bool consume, typename F>
struct Finally;
// The job that calls the then() of a thenable.
template <typename T, typename X>
struct Follow;

/// Stands in for a handler that was not given: the outcome passes through.
struct Passthrough {
    void operator()() const {}
    template <typename V>
    std::remove_cvref_t<V> operator()(V&& value) const {
        return std::forward<V>(value);
    }
};

/// The end that waits. Copies refer to the same promise.
///
/// Handlers run from the job queue, never inside then() or resolve(), and in
/// the order in which they were registered. A handler returns a value, nothing,
/// or a promise, which the promise of then() adopts; if it throws, that promise
/// is rejected. Handlers are moved, called at most once, and then destroyed.
///
/// A handler gets the value as a `const T&`, or no argument for a
/// Promise<void>. `std::move(p).then(f)` gives `p` up, and `f` gets the value
/// as a `T`: moved if nothing else refers to it (or if T cannot be copied),
/// otherwise copied.
template <typename T>
class Promise {
public:
    using value_type = T;

    [[nodiscard]] Status status() const { return state_->root()->status(); }

    /// Calls `on_value` with the value, or `on_error` with the error as a
    /// std::exception_ptr; without `on_error`, the error passes through. An
    /// exception thrown by `on_value` does not go to `on_error`, but rejects
    /// the promise that is returned here.
    template <typename F, typename G = Passthrough>
    auto then(F on_value, G on_error = {}) const& {
        return add_handler<Then<T, false, F, G>>(state_, on_value, on_error);
    }
    template <typename F, typename G = Passthrough>
    auto then(F on_value, G on_error = {}) && {
        return add_handler<Then<T, true, F, G>>(std::move(state_), on_value,
                                                on_error);
    }

    /// Calls `on_error` with the error; what it returns replaces the value. A
    /// value passes through.
    template <typename G>
    Promise catch_error(G on_error) const& {
        return then(Passthrough(), std::move(on_error));
    }
    template <typename G>
    Promise catch_error(G on_error) && {
        return std::move(*this).then(Passthrough(), std::move(on_error));
    }

    /// Calls `cleanup` without arguments, whatever the outcome, which then
    /// passes through. If `cleanup` throws or returns a promise that is
    /// rejected, that error replaces the outcome.
    template <typename F>
    Promise finally(F cleanup) const& {
        return add_handler<Finally<T, false, F>>(state_, cleanup);
    }
    template <typename F>
    Promise finally(F cleanup) && {
        return add_handler<Finally<T, true, F>>(std::move(state_), cleanup);
    }

private:
    friend class Deferred<T>;
    explicit Promise(std::shared_ptr<StateOf<T>> state)
        : state_(std::move(state)) {}

    /// Makes a job of type J from the handlers and registers it with `state`.
    /// Returns the promise that the job will settle.
    template <typename J, typename... Handlers>
    static auto add_handler(std::shared_ptr<StateOf<T>> state,
                            Handlers&... handlers) {
        auto job = std::make_unique<J>(state->jobs, std::move(handlers)...);
        auto promise = job->next.promise();
        state->when_settled(std::move(job));
        return promise;
    }

    std::shared_ptr<StateOf<T>> state_;
};

/// Anything that has a then() for a value handler and an error handler.
template <typename X>
concept Thenable = requires(std::remove_cvref_t<X>& x) {
    typename std::remove_cvref_t<X>::value_type;
    x.then([](const auto&...) {}, [](const std::exception_ptr&) {});
};

/// The end that knows the outcome. Copies refer to the same promise. The first
/// call of resolve() or reject() counts, and later ones do nothing. If the last
/// copy is destroyed before that, the promise stays pending; its handlers are
/// destroyed when the last Promise is gone, too.
template <typename T>
class Deferred {
public:
    explicit Deferred(JobQueue& jobs)
        : state_(std::make_shared<StateOf<T>>(jobs)) {}

    [[nodiscard]] Promise<T> promise() const { return Promise<T>(state_); }

    /// Fulfils the promise with a value. If `value` is a promise, or anything
    /// else that has then(), the promise adopts it and will have its outcome.
    /// A promise that is resolved with itself is rejected with a TypeError, and
    /// one whose value cannot be stored with what its constructor throws.
    template <typename U = Stored<T>>
    void resolve(U&& value) const {
        if constexpr (std::is_same_v<std::remove_cvref_t<U>, Promise<T>>) {
            if (state_->try_resolve()) State::adopt(*state_, *value.state_);
        } else if constexpr (Thenable<U>) {
            const Deferred foreign(state_->jobs);
            auto job = std::make_unique<Follow<T, std::decay_t<U>>>(
                foreign, std::forward<U>(value));
            if (!state_->try_resolve()) return;
            State::adopt(*state_, *foreign.state_);
            state_->jobs.push(std::move(job));
        } else {
            fulfil(std::forward<U>(value));
        }
    }
    void resolve() const
        requires std::is_void_v<T>
    {
        fulfil(std::monostate());
    }

    void reject(std::exception_ptr error) const {
        if (state_->try_resolve()) state_->root()->settle(std::move(error));
    }
    template <std::derived_from<std::exception> E>
    void reject(E exception) const {
        reject(std::make_exception_ptr(std::move(exception)));
    }

    /// Calls `function` and resolves with what it returns, or rejects with what
    /// it throws.
    template <typename F>
    void resolve_with(F&& function) const {
        try {
            if constexpr (std::is_void_v<std::invoke_result_t<F&>>) {
                static_assert(std::is_void_v<T>,
                              "this handler has to return a value");
                function();
                resolve();
            } else {
                resolve(function());
            }
        } catch (...) {
            reject(std::current_exception());
        }
    }

private:
    template <typename U>
    void fulfil(U&& value) const {
        if (!state_->try_resolve()) return;
        const auto root = state_->root();
        try {
            static_cast<StateOf<T>&>(*root).value.emplace(
                std::forward<U>(value));
        } catch (...) {
            return root->settle(std::current_exception());
        }
        root->settle(Status::fulfilled);
    }

    std::shared_ptr<StateOf<T>> state_;
};

/// The type of value that a handler's result X leads to: the value type of a
/// promise, otherwise X itself.
template <typename X>
struct Unwrap {
    using type = X;
};
template <Thenable X>
struct Unwrap<X> {
    using type = typename X::value_type;
};
template <typename X>
using Unwrapped = typename Unwrap<std::decay_t<X>>::type;

/// Returns a promise that is fulfilled with `value`, or that adopts it if it
/// has then().
template <typename V>
Promise<Unwrapped<V>> resolved(JobQueue& jobs, V&& value) {
    const Deferred<Unwrapped<V>> deferred(jobs);
    deferred.resolve(std::forward<V>(value));
    return deferred.promise();
}
inline Promise<void> resolved(JobQueue& jobs) {
    const Deferred<void> deferred(jobs);
    deferred.resolve();
    return deferred.promise();
}

/// Returns a promise that is rejected with `error`.
template <typename T, typename E>
Promise<T> rejected(JobQueue& jobs, E error) {
    const Deferred<T> deferred(jobs);
    deferred.reject(std::move(error));
    return deferred.promise();
}

// --- How then() and finally() work ---

/// Tells whether a T can really be copied: std::vector claims that it can, even
/// if its elements cannot. `Outer` are the types whose elements led to T: the
/// elements of a JSON value are JSON values.
template <typename T, typename... Outer>
inline constexpr bool can_be_copied = std::copy_constructible<T>;
template <typename T, typename... Outer>
    requires(!Thenable<T> && !(std::same_as<T, Outer> || ...)) &&
                requires { typename T::value_type; }
inline constexpr bool can_be_copied<T, Outer...> =
    std::copy_constructible<T> &&
    can_be_copied<typename T::value_type, T, Outer...>;

/// Calls `function` with the value of a fulfilled promise, or without arguments
/// for a Promise<void>. `consume` says that the caller has given the promise
/// up.
template <typename T, bool consume, typename F>
auto with_value(const std::shared_ptr<State>& source, F&& function) {
    if constexpr (std::is_void_v<T>) {
        return function();
    } else {
        T& value = *static_cast<StateOf<T>&>(*source).value;
        if constexpr (!consume) {
            return function(std::as_const(value));
        } else {
            if constexpr (can_be_copied<T>) {
                // Something else may still read the value.
                if (source.use_count() > 1) return function(T(value));
            }
            return function(std::move(value));
        }
    }
}

/// The job of then(): settles `next` with what the handler returns or throws.
template <typename T, bool consume, typename F, typename G>
struct Then : Job {
    using Result =
        decltype(with_value<T, consume>(nullptr, std::declval<F&>()));

    Then(JobQueue& jobs, F on_value, G on_error)
        : next(jobs),
          on_value(std::move(on_value)),
          on_error(std::move(on_error)) {}

    void run() override {
        if (source->status() == Status::fulfilled) {
            next.resolve_with(
                [this] { return with_value<T, consume>(source, on_value); });
        } else if constexpr (std::is_same_v<G, Passthrough>) {
            next.reject(source->error());
        } else {
            next.resolve_with([this] { return on_error(source->error()); });
        }
    }

    Deferred<Unwrapped<Result>> next;
    F on_value;
    G on_error;
};

/// The job of finally(): calls `cleanup`, waits for the promise that it may
/// return, and then settles `next` as the source was settled.
template <typename T, bool consume, typename F>
struct Finally : Job {
    Finally(JobQueue& jobs, F cleanup)
        : next(jobs), cleanup(std::move(cleanup)) {}

    void run() override {
        const Deferred<Unwrapped<std::invoke_result_t<F&>>> done(source->jobs);
        done.resolve_with(cleanup);
        done.promise().then(
            [next = next, source = source](const auto&...) {
                if (source->status() == Status::rejected)
                    return next.reject(source->error());
                next.resolve_with([&] {
                    return with_value<T, consume>(source, Passthrough());
                });
            },
            [next = next](const std::exception_ptr& error) {
                next.reject(error);
            });
    }

    Deferred<T> next;
    F cleanup;
};

/// Settles `next` as `thenable` does; its first callback counts. This is a job
/// because a thenable may pass on another one, and so on: called from here,
/// each then() starts on an empty stack (ECMAScript:
/// NewPromiseResolveThenableJob).
template <typename T, typename X>
struct Follow : Job {
    template <typename U>
    Follow(const Deferred<T>& next, U&& thenable)
        : next(next), thenable(std::forward<U>(thenable)) {}

    void run() override {
        try {
            thenable.then(
                [next = next](auto&&... value) {
                    next.resolve(std::forward<decltype(value)>(value)...);
                },
                [next = next](const std::exception_ptr& error) {
                    next.reject(error);
                });
        } catch (...) {
            // This does nothing if a callback came before the exception.
            next.reject(std::current_exception());
        }
    }

    Deferred<T> next;
    X thenable;
};

}  // namespace promises
