// A thread for work that would block the loop.
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

/// One thread that runs jobs in order and passes their results to the loop's
/// thread. Create, use and destroy a Worker on the loop's thread.
class Worker {
public:
    /// Does not own `loop`, which must outlive the worker.
    explicit Worker(EventLoop& loop)
        : loop_(loop),
          thread_([this](const std::stop_token& stop) { work(stop); }) {}

    /// Waits for the job that is running. Jobs that have not begun are dropped,
    /// and no `then` is called any more, not even that of a job that is done.
    ~Worker() {
        thread_.request_stop();
        thread_.join();
    }

    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    /// Calls `job()` on the worker's thread, and then `then(future)` on the
    /// loop's thread. The std::future is ready: its get() returns the job's
    /// result or throws the job's exception. The job must not touch anything
    /// that the loop's thread uses meanwhile. EventLoop::run() keeps running
    /// until then.
    template <class Job, class Then>
    void run(Job job, Then then) {
        add([assignment = std::make_shared<Assignment<Job, Then>>(
                 loop_, alive_, std::move(job), std::move(then))]() mutable {
            assignment->job();
            EventLoop& loop = assignment->loop;
            loop.call_soon_threadsafe([assignment = std::move(assignment)] {
                if (assignment->worker.expired()) return;
                assignment->then(assignment->job.get_future());
            });
        });
    }

private:
    /// A job and what is to be called with its result. It is destroyed on the
    /// loop's thread, with everything that the two functions captured.
    template <class Job, class Then>
    struct Assignment {
        Assignment(EventLoop& loop, std::weak_ptr<void> worker, Job job,
                   Then then)
            : loop(loop),
              worker(std::move(worker)),
              job(std::move(job)),
              then(std::move(then)) {
            loop.work_started();
        }
        ~Assignment() { loop.work_finished(); }
        Assignment(const Assignment&) = delete;
        Assignment& operator=(const Assignment&) = delete;

        EventLoop& loop;
        // Expired once the worker has been destroyed: `then` may use what was
        // destroyed together with it.
        std::weak_ptr<void> worker;
        // Puts the job's result or exception into a future.
        std::packaged_task<std::invoke_result_t<Job>()> job;
        Then then;
    };

    void add(std::function<void()> job) {
        const std::lock_guard lock(mutex_);
        jobs_.push_back(std::move(job));
        changed_.notify_one();
    }

    /// The body of the worker's thread.
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
    const std::shared_ptr<void> alive_ = std::make_shared<int>();
    std::mutex mutex_;  // guards jobs_
    std::condition_variable_any changed_;
    std::deque<std::function<void()>> jobs_;
    // Last, so that it is destroyed first: the thread uses all of the above.
    std::jthread thread_;
};

}  // namespace callbacks
