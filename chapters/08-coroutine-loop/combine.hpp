// Waiting for several tasks at once.
#pragma once

#include <array>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <span>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "chapters/08-coroutine-loop/event_loop.hpp"

namespace coroutines {

/// with_timeout() waited as long as it was told to.
class TimedOut : public std::runtime_error {
public:
    TimedOut() : std::runtime_error("timed out") {}
};

namespace detail {

/// A task's result as a value: std::monostate stands for void.
template <typename T>
using Value = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

/// How a task ended: not yet, with a value, or with an exception.
template <typename T>
using Outcome = std::variant<std::monostate, Value<T>, std::exception_ptr>;

/// Tasks that run at the same time, and the one coroutine that waits for them.
/// The members are variables of that coroutine. So when it returns or throws,
/// the members that still run are destroyed before its own awaiter resumes.
class Group {
public:
    /// The coroutine around one task of a group. It stores how the task ended
    /// and notifies the group. A Member owns its frame, and so the task.
    class Member {
    public:
        struct promise_type : simulated::PooledFrame {
            Group* group = nullptr;
            bool failed = false;

            Member get_return_object() {
                return Member(
                    std::coroutine_handle<promise_type>::from_promise(*this));
            }
            [[nodiscard]] std::suspend_always initial_suspend() const noexcept {
                return {};
            }
            [[nodiscard]] auto final_suspend() const noexcept {
                return FinalAwaiter();
            }
            void return_value(bool ended_well) noexcept {
                failed = !ended_well;
            }
            void unhandled_exception() const noexcept { std::terminate(); }
        };

        explicit Member(std::coroutine_handle<promise_type> frame)
            : frame_(frame) {}
        Member(Member&& other) noexcept
            : frame_(std::exchange(other.frame_, nullptr)) {}
        Member& operator=(Member&& other) = delete;
        ~Member() {
            if (frame_) frame_.destroy();
        }

        void start(Group& group) {
            frame_.promise().group = &group;
            frame_.resume();
        }

    private:
        struct FinalAwaiter {
            [[nodiscard]] bool await_ready() const noexcept { return false; }
            std::coroutine_handle<> await_suspend(
                std::coroutine_handle<promise_type> member) const noexcept {
                return member.promise().group->on_member_done(
                    member.promise().failed);
            }
            void await_resume() const noexcept {}
        };

        std::coroutine_handle<promise_type> frame_;
    };

    /// The wait is over when `enough` tasks have ended well, or one has failed.
    /// `members` are not owned.
    Group(std::span<Member> members, std::size_t enough)
        : members_(members), missing_(enough) {}

    // The awaiter.
    [[nodiscard]] bool await_ready() const noexcept { return missing_ == 0; }

    /// Starts the tasks in order, and stops starting them once the wait is
    /// over. Returns false if there is nothing left to wait for.
    bool await_suspend(std::coroutine_handle<> waiting) {
        for (Member& member : members_) {
            member.start(*this);
            if (missing_ == 0) return false;
        }
        waiting_ = waiting;
        return true;
    }

    void await_resume() const noexcept {}

private:
    /// Returns the coroutine to resume next: the waiting one once the wait is
    /// over, otherwise none (std::noop_coroutine()).
    std::coroutine_handle<> on_member_done(bool failed) noexcept {
        missing_ = failed ? 0 : missing_ - 1;
        if (missing_ > 0 || !waiting_) return std::noop_coroutine();
        return waiting_;
    }

    std::span<Member> members_;
    std::size_t missing_;
    // Null until all members have started
    std::coroutine_handle<> waiting_;
};

template <typename T>
Group::Member run(Task<T> task, Outcome<T>& outcome) {
    try {
        if constexpr (std::is_void_v<T>) {
            co_await std::move(task);
            outcome.template emplace<1>();
        } else {
            outcome.template emplace<1>(co_await std::move(task));
        }
    } catch (...) {
        outcome.template emplace<2>(std::current_exception());
        co_return false;
    }
    co_return true;
}

template <typename... T, std::size_t... index>
std::array<Group::Member, sizeof...(T)> members(
    std::tuple<Outcome<T>...>& outcomes, std::index_sequence<index...> /*all*/,
    Task<T>&... tasks) {
    return {run(std::move(tasks), std::get<index>(outcomes))...};
}

template <typename Outcomes>
void rethrow_if_failed(const Outcomes& outcomes) {
    const auto check = [](const auto& outcome) {
        if (outcome.index() == 2) std::rethrow_exception(std::get<2>(outcome));
    };
    std::apply([&](const auto&... outcome) { (check(outcome), ...); },
               outcomes);
}

/// Returns the result of the only task that has one, at its index in the
/// variant.
template <typename Result, std::size_t i = 0, typename Outcomes>
Result winner(Outcomes& outcomes) {
    if constexpr (i + 1 < std::tuple_size_v<Outcomes>) {
        if (std::get<i>(outcomes).index() != 1)
            return winner<Result, i + 1>(outcomes);
    }
    return Result(std::in_place_index<i>,
                  std::move(std::get<1>(std::get<i>(outcomes))));
}

}  // namespace detail

// Groups may be nested. Each level takes some of the stack when it starts and
// when it is destroyed: 8 MiB are enough for 40,000 levels, not for 80,000.

/// `co_await when_all(a, b)` runs the tasks at the same time and returns the
/// tuple of their results. The first exception destroys the other tasks,
/// wherever they are suspended, and then propagates.
template <typename... T>
Task<std::tuple<detail::Value<T>...>> when_all(Task<T>... tasks) {
    std::tuple<detail::Outcome<T>...> outcomes;
    auto members = detail::members<T...>(
        outcomes, std::index_sequence_for<T...>(), tasks...);
    detail::Group group(members, sizeof...(T));
    co_await group;
    detail::rethrow_if_failed(outcomes);
    co_return std::apply(
        [](auto&... outcome) {
            return std::tuple<detail::Value<T>...>(
                std::move(std::get<1>(outcome))...);
        },
        outcomes);
}

/// `co_await when_any(a, b)` runs the tasks at the same time until the first
/// one ends, by a result or by an exception, and destroys the others, wherever
/// they are suspended. Returns the winner's result; the variant's index tells
/// which task won. Starts the tasks in order, and starts no other once one has
/// ended.
template <typename... T>
    requires(sizeof...(T) > 0)
Task<std::variant<detail::Value<T>...>> when_any(Task<T>... tasks) {
    std::tuple<detail::Outcome<T>...> outcomes;
    auto members = detail::members<T...>(
        outcomes, std::index_sequence_for<T...>(), tasks...);
    detail::Group group(members, 1);
    co_await group;
    detail::rethrow_if_failed(outcomes);
    co_return detail::winner<std::variant<detail::Value<T>...>>(outcomes);
}

/// Returns a task that does nothing for `delay`: async_sleep() as a Task.
inline Task<> pass(EventLoop& loop, Duration delay) {
    co_await loop.async_sleep(delay);
}

/// `co_await with_timeout(loop, task, limit)` returns the task's result if it
/// ends within `limit`, or exactly then. Otherwise it destroys the task,
/// wherever it is suspended, and throws TimedOut. The task starts first, and
/// `limit` begins when it suspends for the first time: what a task computes
/// before that cannot be interrupted, and does not count.
template <typename T>
Task<T> with_timeout(EventLoop& loop, Task<T> task, Duration limit) {
    auto result = co_await when_any(std::move(task), pass(loop, limit));
    if (result.index() == 1) throw TimedOut();
    if constexpr (!std::is_void_v<T>) co_return std::get<0>(std::move(result));
}

}  // namespace coroutines
