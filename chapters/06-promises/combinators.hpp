// Combinators: many promises as one. None of them stops an operation whose
// result it no longer needs.
#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "chapters/06-promises/promise.hpp"

namespace promises {

/// The error of any() when all its promises were rejected. Holds their errors,
/// in the order of the promises.
class AggregateError : public std::runtime_error {
public:
    explicit AggregateError(std::vector<std::exception_ptr> why)
        : std::runtime_error("all " + std::to_string(why.size()) +
                             " promises were rejected"),
          errors(std::move(why)) {}

    std::vector<std::exception_ptr> errors;
};

/// The outcome of a settled promise: a value or an error.
template <typename T>
struct Outcome {
    std::optional<Stored<T>> value;
    std::exception_ptr error;

    [[nodiscard]] Status status() const {
        return value ? Status::fulfilled : Status::rejected;
    }
};

/// Items that arrive one by one, each for its own place.
template <typename Item>
struct Collection {
    explicit Collection(std::size_t size) : items(size), missing(size) {}

    /// Returns true if no item is missing any more.
    template <typename U>
    bool put(std::size_t place, U&& item) {
        items[place] = std::forward<U>(item);
        return --missing == 0;
    }

    std::vector<Item> items;
    std::size_t missing;
};

/// Returns a promise that is fulfilled with all values, in the order of the
/// promises, when the last one is fulfilled, and rejected with the first error.
/// If there are no promises, it is fulfilled at once.
template <typename T>
Promise<std::vector<T>> all(JobQueue& jobs, std::vector<Promise<T>> promises) {
    using Values = std::vector<T>;
    const Deferred<Values> result(jobs);
    if (promises.empty()) result.resolve(Values());
    const auto values =
        std::make_shared<Collection<std::optional<T>>>(promises.size());
    for (std::size_t i = 0; i < promises.size(); ++i) {
        std::move(promises[i])
            .then(
                [=](T value) {
                    if (!values->put(i, std::move(value))) return;
                    Values complete;
                    for (auto& item : values->items)
                        complete.push_back(std::move(*item));
                    result.resolve(std::move(complete));
                },
                [=](const std::exception_ptr& error) { result.reject(error); });
    }
    return result.promise();
}

/// The same for promises without values.
inline Promise<void> all(JobQueue& jobs, std::vector<Promise<void>> promises) {
    const Deferred<void> result(jobs);
    if (promises.empty()) result.resolve();
    const auto missing = std::make_shared<std::size_t>(promises.size());
    for (const Promise<void>& promise : promises) {
        promise.then(
            [=] {
                if (--*missing == 0) result.resolve();
            },
            [=](const std::exception_ptr& error) { result.reject(error); });
    }
    return result.promise();
}

/// Returns a promise that is fulfilled when all promises are settled, with
/// their outcomes, in the order of the promises.
template <typename T>
Promise<std::vector<Outcome<T>>> all_settled(JobQueue& jobs,
                                             std::vector<Promise<T>> promises) {
    using Outcomes = std::vector<Outcome<T>>;
    const Deferred<Outcomes> result(jobs);
    if (promises.empty()) result.resolve(Outcomes());
    const auto outcomes =
        std::make_shared<Collection<Outcome<T>>>(promises.size());
    for (std::size_t i = 0; i < promises.size(); ++i) {
        const auto put = [=](Outcome<T> outcome) {
            if (outcomes->put(i, std::move(outcome)))
                result.resolve(std::move(outcomes->items));
        };
        std::move(promises[i])
            .then(
                [=](auto&&... value) {
                    put({Stored<T>(std::move(value)...), nullptr});
                },
                [=](const std::exception_ptr& error) {
                    put({std::nullopt, error});
                });
    }
    return result.promise();
}

/// Returns a promise that is fulfilled with the first value, and rejected with
/// an AggregateError when all promises are rejected. If there are no promises,
/// it is rejected at once.
template <typename T>
Promise<T> any(JobQueue& jobs, std::vector<Promise<T>> promises) {
    const Deferred<T> result(jobs);
    if (promises.empty()) result.reject(AggregateError({}));
    const auto errors =
        std::make_shared<Collection<std::exception_ptr>>(promises.size());
    for (std::size_t i = 0; i < promises.size(); ++i) {
        std::move(promises[i])
            .then(
                [=](auto&&... value) { result.resolve(std::move(value)...); },
                [=](const std::exception_ptr& error) {
                    if (errors->put(i, error)) {
                        result.reject(AggregateError(std::move(errors->items)));
                    }
                });
    }
    return result.promise();
}

/// Returns a promise with the outcome of the first promise that is settled,
/// whether that is a value or an error. If there are no promises, it stays
/// pending forever.
template <typename T>
Promise<T> race(JobQueue& jobs, std::vector<Promise<T>> promises) {
    const Deferred<T> result(jobs);
    for (Promise<T>& promise : promises) {
        std::move(promise).then(
            [=](auto&&... value) { result.resolve(std::move(value)...); },
            [=](const std::exception_ptr& error) { result.reject(error); });
    }
    return result.promise();
}

}  // namespace promises
