// Waiting for several tasks at once.
#pragma once

#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include "chapters/07-simulated-clock/task.hpp"

namespace simulated {

/// Runs `tasks` concurrently and returns their results, in the order of the
/// tasks. The tasks start in that order. The first exception destroys the tasks
/// that have not finished, starts no further one, and is then thrown.
template <typename T>
Task<std::vector<T>> when_all(std::vector<Task<T>> tasks);

/// The same for tasks without a result.
inline Task<> when_all(std::vector<Task<>> tasks);

// --- How it works ---

/// The tasks of one when_all(), called members, and the coroutine that waits
/// for them. The group owns the members, and is a local variable of the waiting
/// coroutine.
class Group {
public:
    void add(Task<> member) { members_.push_back(std::move(member)); }

    /// Awaited by a member at its end. Resumes the waiting coroutine if the
    /// group is done. The member itself stays suspended until it is destroyed.
    class MemberDone : public std::suspend_always {
    public:
        explicit MemberDone(Group& group) : group_(group) {}

        std::coroutine_handle<> await_suspend(
            std::coroutine_handle<> /*member*/) noexcept {
            if (!group_.is_done()) return std::noop_coroutine();
            return std::exchange(group_.waiting_, std::noop_coroutine());
        }

    private:
        Group& group_;
    };

    /// Counts a member that has finished, or that has failed with `error`.
    MemberDone on_member_done(std::exception_ptr error = nullptr) noexcept {
        ++finished_;
        if (error) error_ = std::move(error);
        return MemberDone(*this);
    }

    /// Awaited by the waiting coroutine: starts the members, in order, and
    /// resumes it when all of them have finished or one has failed. Then the
    /// members are destroyed, and the error is thrown if there was one.
    class WaitForAll : public std::suspend_always {
    public:
        explicit WaitForAll(Group& group) : group_(group) {}

        bool await_suspend(std::coroutine_handle<> waiting) {
            for (Task<>& member : group_.members_) {
                member.start();
                if (group_.error_) break;
            }
            // Only now may the last member resume the waiting coroutine: during
            // the loop, that would destroy the members the loop walks over.
            if (group_.is_done()) return false;
            group_.waiting_ = waiting;
            return true;
        }

        void await_resume() {
            group_.members_.clear();
            if (group_.error_) std::rethrow_exception(group_.error_);
        }

    private:
        Group& group_;
    };

    WaitForAll wait_for_all() noexcept { return WaitForAll(*this); }

private:
    [[nodiscard]] bool is_done() const {
        return finished_ == members_.size() || error_;
    }

    std::size_t finished_ = 0;
    std::exception_ptr error_;
    // Set once all members have started.
    std::coroutine_handle<> waiting_ = std::noop_coroutine();
    std::vector<Task<>> members_;
};

/// The member that runs `task` and stores its result in `result`.
template <typename T>
Task<> run_member(Task<T> task, std::optional<T>& result, Group& group) {
    std::exception_ptr error;
    try {
        result.emplace(co_await std::move(task));
    } catch (...) {
        error = std::current_exception();
    }
    co_await group.on_member_done(error);
}

inline Task<> run_member(Task<> task, Group& group) {
    std::exception_ptr error;
    try {
        co_await std::move(task);
    } catch (...) {
        error = std::current_exception();
    }
    co_await group.on_member_done(error);
}

template <typename T>
Task<std::vector<T>> when_all(std::vector<Task<T>> tasks) {
    std::vector<std::optional<T>> slots(tasks.size());
    Group group;
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        group.add(run_member(std::move(tasks[i]), slots[i], group));
    }
    co_await group.wait_for_all();

    std::vector<T> results;
    results.reserve(slots.size());
    for (std::optional<T>& slot : slots) results.push_back(std::move(*slot));
    co_return results;
}

inline Task<> when_all(std::vector<Task<>> tasks) {
    Group group;
    for (Task<>& task : tasks) group.add(run_member(std::move(task), group));
    co_await group.wait_for_all();
}

}  // namespace simulated
