// A thread for work that blocks, so that the loop does not have to.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <type_traits>
#include <utility>

#include "chapters/05-callback-loop/event_loop.hpp"

namespace callbacks {

/// One thread that does jobs in order and reports back on the loop's thread.
/// Create, use and destroy it there.
class Worker {
public:
    /// `loop` is not owned; the worker has to go first.
    explicit Worker(EventLoop& loop)
        : loop_(loop),
          thread_([this](const std::stop_token& stop) { work(stop); }) {}

    /// Waits for the job that runs now. Those not begun are dropped, and their
    /// `then` with them.
    ~Worker() {
        thread_.request_stop();
        thread_.join();
    }

    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    /// Calls `job()` on the worker's thread and then, on the loop's,
    /// `then(future)`: a std::future that is ready. Its get() returns what the
    /// job returned, or throws what it threw. The job must not touch what the
    /// loop's thread uses meanwhile. run() of the loop waits for it.
    template <class Job, class Then>
    void run(Job job, Then then) {
        using Result = std::invoke_result_t<Job>;
        /// Destroyed on the loop's thread, with everything that the two
        /// functions own.
        struct Assignment {
            Assignment(EventLoop& loop, Job job, Then then)
                : loop(loop), job(std::move(job)), then(std::move(then)) {
                loop.work_started();
            }
            ~Assignment() { loop.work_finished(); }
            Assignment(const Assignment&) = delete;
            Assignment& operator=(const Assignment&) = delete;

            EventLoop& loop;
            std::packaged_task<Result()> job;
            Then then;
        };
        add([assignment = std::make_shared<Assignment>(
                 loop_, std::move(job), std::move(then))]() mutable {
            // Keeps what it throws
            assignment->job();
            EventLoop& loop = assignment->loop;
            loop.call_soon_threadsafe([assignment = std::move(assignment)] {
                assignment->then(assignment->job.get_future());
            });
        });
    }

private:
    void add(std::function<void()> job) {
        const std::lock_guard lock(mutex_);
        jobs_.push_back(std::move(job));
        changed_.notify_one();
    }

    void work(const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        while (changed_.wait(lock, stop, [this] { return !jobs_.empty(); }) &&
               !stop.stop_requested()) {
            const std::function<void()> job = std::move(jobs_.front());
            jobs_.pop_front();
            lock.unlock();
            job();
            lock.lock();
        }
    }

    EventLoop& loop_;
    std::mutex mutex_;
    std::condition_variable_any changed_;
    // Guarded by mutex_
    std::deque<std::function<void()>> jobs_;
    // last: it uses all of these
    std::jthread thread_;
};

}  // namespace callbacks
