// Spawned tasks: how they start, how they end, and how they are cancelled.
#pragma once

#include <coroutine>
#include <exception>
#include <functional>
#include <string>
#include <utility>

#include "chapters/07-simulated-clock/frame_pool.hpp"
#include "chapters/07-simulated-clock/task.hpp"
#include "chapters/07-simulated-clock/task_errors.hpp"
#include "chapters/07-simulated-clock/wait_list.hpp"

namespace coroutines {

using simulated::Task;
using simulated::Waiter;
using simulated::WaitList;

class DetachedPromise;

/// Refers to a spawned task, which may have finished long ago. A handle does
/// not own the task: destroying it leaves the task running.
class TaskHandle {
public:
    explicit TaskHandle(DetachedPromise& task) noexcept { attach(&task); }
    TaskHandle(TaskHandle&& other) noexcept {
        attach(std::exchange(other.task_, nullptr));
    }
    TaskHandle& operator=(TaskHandle&& other) noexcept {
        if (this == &other) return *this;
        detach();
        attach(std::exchange(other.task_, nullptr));
        return *this;
    }
    ~TaskHandle() { detach(); }

    /// Returns true once the task has finished or has been destroyed.
    [[nodiscard]] bool done() const { return task_ == nullptr; }

    /// Destroys the task in the next turn, wherever it is suspended then. It
    /// does not happen at once, so that a task can cancel itself. Does nothing
    /// if the task is done.
    void cancel() noexcept;

private:
    friend class DetachedPromise;

    void attach(DetachedPromise* task) noexcept;
    void detach() noexcept;

    DetachedPromise* task_ = nullptr;
};

/// The tasks that an event loop owns because no other task awaits them.
class SpawnedTasks {
public:
    /// Gets the exception that ended a spawned task. Must not throw.
    using ErrorHandler =
        std::function<void(const std::string& task, std::exception_ptr error)>;

    explicit SpawnedTasks(ErrorHandler on_error)
        : on_error_(std::move(on_error)) {}

    /// Takes over `task` and puts its start at the end of `ready`.
    TaskHandle add(std::string name, Task<> task, WaitList& ready);

    /// Returns true when every task has finished or has been cancelled.
    [[nodiscard]] bool empty() const { return tasks_.empty(); }

    void destroy_cancelled() noexcept { destroy(cancelled_); }

    /// Destroys all tasks, also those that are spawned or cancelled by the
    /// destructor of another one.
    void destroy_all() noexcept {
        while (!cancelled_.empty() || !tasks_.empty()) {
            destroy(cancelled_);
            destroy(tasks_);
        }
    }

    /// Returns the names of the first few tasks that have not finished.
    [[nodiscard]] std::string names() const;

private:
    friend class DetachedPromise;
    friend class TaskHandle;

    static void destroy(WaitList& tasks) noexcept {
        while (!tasks.empty()) tasks.front().coroutine.destroy();
    }

    ErrorHandler on_error_;
    WaitList tasks_;
    // To be destroyed in the next turn
    WaitList cancelled_;
};

/// The coroutine around a spawned task. No object owns its frame: when it ends
/// it frees the frame itself, because final_suspend() does not suspend.
struct DetachedTask {
    using promise_type = DetachedPromise;
    DetachedPromise& promise;
};

/// As a Waiter, it is the task's place in SpawnedTasks.
class DetachedPromise : public Waiter, public simulated::PooledFrame {
public:
    DetachedPromise(SpawnedTasks& owner, std::string& task_name,
                    Task<>& /*task*/)
        : name(std::move(task_name)), owner_(owner) {
        coroutine = std::coroutine_handle<DetachedPromise>::from_promise(*this);
        start_.coroutine = coroutine;
    }
    ~DetachedPromise() {
        if (handle_ != nullptr) handle_->task_ = nullptr;
    }
    DetachedPromise(const DetachedPromise&) = delete;
    DetachedPromise& operator=(const DetachedPromise&) = delete;

    DetachedTask get_return_object() { return {*this}; }
    [[nodiscard]] std::suspend_always initial_suspend() const noexcept {
        return {};
    }
    [[nodiscard]] std::suspend_never final_suspend() const noexcept {
        return {};
    }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept {
        owner_.on_error_(name, std::current_exception());
    }

    std::string name;

private:
    friend class SpawnedTasks;
    friend class TaskHandle;

    SpawnedTasks& owner_;
    // The task's place in the ready queue until it starts
    Waiter start_;
    TaskHandle* handle_ = nullptr;
};

inline DetachedTask run_detached(SpawnedTasks& /*owner*/, std::string /*name*/,
                                 Task<> task) {
    co_await std::move(task);
}

inline TaskHandle SpawnedTasks::add(std::string name, Task<> task,
                                    WaitList& ready) {
    DetachedPromise& promise =
        run_detached(*this, std::move(name), std::move(task)).promise;
    tasks_.push_back(promise);
    ready.push_back(promise.start_);
    return TaskHandle(promise);
}

inline std::string SpawnedTasks::names() const {
    return simulated::pending_task_names<DetachedPromise>(tasks_);
}

inline void TaskHandle::cancel() noexcept {
    if (task_ == nullptr) return;
    task_->unlink();
    task_->owner_.cancelled_.push_back(*task_);
}

inline void TaskHandle::attach(DetachedPromise* task) noexcept {
    task_ = task;
    if (task_ != nullptr) task_->handle_ = this;
}

inline void TaskHandle::detach() noexcept {
    if (task_ != nullptr) task_->handle_ = nullptr;
}

}  // namespace coroutines
