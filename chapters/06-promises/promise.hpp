// A value that is not there yet.
//
//     pending --- resolve(value) ---> fulfilled
//        \------- reject(error) ----> rejected       once, and for ever
//
// A Deferred is the end that knows the outcome, a Promise the end that waits
// for it. What should happen then is said with then(), which is itself a
// promise: of what the handler returns.
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

/// Anything with a then() that takes what to do with a value and what to do
/// with an error.
template <typename X>
concept Thenable = requires(std::remove_cvref_t<X>& x) {
    typename std::remove_cvref_t<X>::value_type;
    x.then([](const auto&...) {}, [](const std::exception_ptr&) {});
};

/// The type of the value in the end: what a promise promises, else the type
/// itself.
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

/// Stands for a handler that is not there: the outcome passes on as it is.
struct Passthrough {
    void operator()() const {}
    template <typename V>
    std::remove_cvref_t<V> operator()(V&& value) const {
        return std::forward<V>(value);
    }
};

template <typename T>
class Promise;

/// The end that knows the outcome. Copies are the same end. What counts is the
/// first call of resolve() or reject(); later ones do nothing. When the last
/// copy goes without a word, the promise stays pending, and its handlers are
/// destroyed with it.
template <typename T>
class Deferred {
public:
    explicit Deferred(JobQueue& jobs)
        : state_(std::make_shared<StateOf<T>>(jobs)) {}

    [[nodiscard]] Promise<T> promise() const { return Promise<T>(state_); }

    /// With a value: fulfils. With a promise, or anything else that has then():
    /// adopts it, its outcome will be ours. With itself: rejects with a
    /// TypeError.
    template <typename U = Stored<T>>
    void resolve(U&& value) const {
        if constexpr (std::is_same_v<std::remove_cvref_t<U>, Promise<T>>) {
            if (state_->try_resolve()) State::adopt(*state_, *value.state_);
        } else if constexpr (Thenable<U>) {
            if (!state_->try_resolve()) return;
            const Deferred foreign(state_->jobs);
            State::adopt(*state_, *foreign.state_);
            foreign.follow(value);
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

    /// With what `function` returns or throws.
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
        // May throw: then nothing has happened yet
        Stored<T> made(std::forward<U>(value));
        if (!state_->try_resolve()) return;
        const auto root = state_->root();
        static_cast<StateOf<T>&>(*root).value.emplace(std::move(made));
        root->settle(Status::fulfilled);
    }

    template <typename X>
    void follow(X& thenable) const {
        const Deferred self = *this;
        try {
            thenable.then(
                [self](auto&&... v) {
                    self.resolve(std::forward<decltype(v)>(v)...);
                },
                [self](const std::exception_ptr& error) {
                    self.reject(error);
                });
        } catch (...) {
            // Unless it had settled it before it threw
            reject(std::current_exception());
        }
    }

    std::shared_ptr<StateOf<T>> state_;
};

/// A vector says that it can be copied even where its elements cannot.
template <typename T>
inline constexpr bool can_be_copied = std::copy_constructible<T>;
template <typename T>
    requires requires { typename T::value_type; }
inline constexpr bool can_be_copied<T> =
    std::copy_constructible<T> && can_be_copied<typename T::value_type>;

/// Calls `function` with the value of a fulfilled promise; without arguments
/// for Promise<void>.
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
                // Others may look at it
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

/// The job of finally(): waits for what `cleanup` does, then settles `next` as
/// the source is.
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

/// The end that waits. Copies are the same promise.
///
/// Handlers run from the job queue: never inside then() or resolve(), and in
/// the order in which they were registered. A handler returns a value, nothing,
/// or a promise whose outcome becomes that of then(); or it throws, which
/// rejects. Handlers are moved, called once at most, and destroyed.
///
/// A handler gets the value as `const T&`, nothing for a Promise<void>.
/// `std::move(p).then(f)` gives `p` up, and then `f` gets the value itself, as
/// a `T`: moved there where nobody else can see it any more (or where it cannot
/// be copied), else copied.
template <typename T>
class Promise {
public:
    using value_type = T;

    [[nodiscard]] Status status() const { return state_->root()->status(); }

    /// `on_value` gets the value. An error passes on, or goes to `on_error` as
    /// a std::exception_ptr. What `on_value` throws is not for `on_error`, but
    /// for whoever waits for the promise that is returned here.
    template <typename F, typename G = Passthrough>
    auto then(F on_value, G on_error = {}) const& {
        return add_handler<Then<T, false, F, G>>(state_, on_value, on_error);
    }
    template <typename F, typename G = Passthrough>
    auto then(F on_value, G on_error = {}) && {
        return add_handler<Then<T, true, F, G>>(std::move(state_), on_value,
                                                on_error);
    }

    /// `on_error` gets the error and returns what takes the value's place; a
    /// value passes on.
    template <typename G>
    Promise catch_error(G on_error) const& {
        return then(Passthrough(), std::move(on_error));
    }
    template <typename G>
    Promise catch_error(G on_error) && {
        return std::move(*this).then(Passthrough(), std::move(on_error));
    }

    /// `cleanup` runs in any case, without arguments; then the outcome passes
    /// on. Only if it throws or its promise is rejected, that error takes the
    /// outcome's place.
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

    /// Makes a job of type J from the handlers and lets it wait for the outcome
    /// of `state`. Returns the promise that the job will settle.
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

/// A promise that is settled already, or has the outcome of `value` where that
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
template <typename T, typename E>
Promise<T> rejected(JobQueue& jobs, E error) {
    const Deferred<T> deferred(jobs);
    deferred.reject(std::move(error));
    return deferred.promise();
}

}  // namespace promises
