// The queue from which all handlers of promises run, in order. ECMAScript calls
// such a queue a job queue, and browsers call its jobs microtasks.
#pragma once

#include <cstddef>
#include <cstdio>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>

namespace promises {

class State;

/// Returns the text of an error, whatever type was thrown.
std::string message(const std::exception_ptr& error);

/// A handler of a promise. It waits in the promise's list until the promise is
/// settled, then in the job queue.
class Job {
public:
    virtual ~Job() = default;
    virtual void run() = 0;

    // The settled promise; set when the job enters the queue.
    std::shared_ptr<State> source;

private:
    friend class JobList;
    std::unique_ptr<Job> next_;
};

/// A list of jobs, first in, first out. It allocates nothing: each job carries
/// the link to the next one.
class JobList {
public:
    JobList() = default;
    JobList(JobList&& other) noexcept
        : first_(std::move(other.first_)),
          last_(std::exchange(other.last_, nullptr)) {}
    JobList& operator=(JobList&&) = delete;
    ~JobList() { clear(); }

    [[nodiscard]] bool empty() const { return !first_; }

    void push(std::unique_ptr<Job> job) {
        Job* const added = job.get();
        (last_ != nullptr ? last_->next_ : first_) = std::move(job);
        last_ = added;
    }

    /// Returns the oldest job, or null.
    std::unique_ptr<Job> pop() {
        std::unique_ptr<Job> job = std::move(first_);
        if (job) first_ = std::move(job->next_);
        if (!first_) last_ = nullptr;
        return job;
    }

    /// Moves all jobs of `other` to the end of this list.
    void append(JobList other) {
        if (other.empty()) return;
        (last_ != nullptr ? last_->next_ : first_) = std::move(other.first_);
        last_ = std::exchange(other.last_, nullptr);
    }

    void clear() {
        while (pop()) {
        }
    }

private:
    std::unique_ptr<Job> first_;
    Job* last_ = nullptr;
};

/// The jobs of one thread. The queue must outlive every promise that was made
/// with it.
class JobQueue {
public:
    JobQueue() = default;
    JobQueue(const JobQueue&) = delete;
    JobQueue& operator=(const JobQueue&) = delete;
    ~JobQueue() { clear(); }

    static constexpr std::size_t no_limit =
        std::numeric_limits<std::size_t>::max();

    /// Runs jobs, including those that are added meanwhile, until none is left
    /// or `budget` jobs have run. Returns true if some are left.
    bool run(std::size_t budget = no_limit) {
        for (; budget > 0; --budget) {
            std::unique_ptr<Job> job = jobs_.pop();
            if (!job) job = when_empty_.pop();
            if (!job) return false;
            job->run();
        }
        return !empty();
    }

    [[nodiscard]] bool empty() const {
        return jobs_.empty() && when_empty_.empty();
    }

    void push(std::unique_ptr<Job> job) { push_to(jobs_, std::move(job)); }

    /// Queues a job that runs as soon as no ordinary job is left.
    void push_when_empty(std::unique_ptr<Job> job) {
        push_to(when_empty_, std::move(job));
    }

    /// Calls `wake_up` whenever the queue was empty and gets a job: a call of
    /// run() is then due.
    void on_work(std::function<void()> wake_up) {
        wake_up_ = std::move(wake_up);
    }

    /// Calls `report` with each error that has reached no handler, instead of
    /// writing a line to stderr.
    void on_unhandled(std::function<void(std::exception_ptr)> report) {
        report_ = std::move(report);
    }

    void report_unhandled(const std::exception_ptr& error) const {
        if (report_) return report_(error);
        std::fprintf(stderr, "unhandled rejection: %s\n",
                     message(error).c_str());
    }

    /// Destroys jobs that will never run. A job owns the next promise of its
    /// chain, which owns its own jobs: if each were destroyed inside the one
    /// before, the stack would grow with the length of the chain.
    void discard(JobList jobs) {
        discarded_.append(std::move(jobs));
        if (discarding_) return;
        discarding_ = true;
        discarded_.clear();
        discarding_ = false;
    }

    /// Destroys all jobs without running them.
    void clear() {
        jobs_.clear();
        when_empty_.clear();
    }

private:
    void push_to(JobList& list, std::unique_ptr<Job> job) {
        const bool was_empty = empty();
        list.push(std::move(job));
        if (was_empty && wake_up_) wake_up_();
    }

    JobList jobs_;
    JobList when_empty_;
    JobList discarded_;
    bool discarding_ = false;
    std::function<void()> wake_up_;
    std::function<void(std::exception_ptr)> report_;
};

inline std::string message(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const std::exception& exception) {
        return exception.what();
    } catch (const std::string& text) {
        return text;
    } catch (const char* text) {
        return text;
    } catch (...) {
        return "an exception that is not a std::exception";
    }
}

}  // namespace promises
