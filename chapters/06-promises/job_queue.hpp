// What is to be done next, in order. Handlers of promises run from here and
// from nowhere else.
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

/// A handler on its way. First it stands in the list of its promise; when that
/// is settled, in the queue, with the promise that it is about.
class Job {
public:
    virtual ~Job() = default;
    virtual void run() = 0;

    // Set when it goes into the queue
    std::shared_ptr<State> source;

private:
    friend class JobList;
    std::unique_ptr<Job> next_;
};

/// First in, first out. Adding needs no memory: a job carries its own link.
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

    /// The oldest, or null.
    std::unique_ptr<Job> pop() {
        std::unique_ptr<Job> job = std::move(first_);
        if (job) first_ = std::move(job->next_);
        if (!first_) last_ = nullptr;
        return job;
    }

    /// Takes over all of `other`, behind what is here.
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

/// What an error says, whatever was thrown.
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
        return "something was thrown that is no std::exception";
    }
}

/// The jobs of one thread. Must outlive every promise that was made with it.
class JobQueue {
public:
    JobQueue() = default;
    JobQueue(const JobQueue&) = delete;
    JobQueue& operator=(const JobQueue&) = delete;
    ~JobQueue() { clear(); }

    static constexpr std::size_t no_limit =
        std::numeric_limits<std::size_t>::max();

    /// Runs jobs, also those that are added meanwhile, until none is left or
    /// `budget` have run. Returns true if some are left.
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

    /// Runs it as soon as no other job is left.
    void push_when_empty(std::unique_ptr<Job> job) {
        push_to(when_empty_, std::move(job));
    }

    /// `wake_up` is called when there is something to do again: whoever calls
    /// run() should.
    void on_work(std::function<void()> wake_up) {
        wake_up_ = std::move(wake_up);
    }

    /// Calls `report`, instead of writing a line to stderr, with an error that
    /// nobody handles.
    void on_unhandled(std::function<void(std::exception_ptr)> report) {
        report_ = std::move(report);
    }

    void report_unhandled(const std::exception_ptr& error) const {
        if (report_) return report_(error);
        std::fprintf(stderr, "unhandled rejection: %s\n",
                     message(error).c_str());
    }

    /// Destroys jobs that will never run. A job owns the next promise of its
    /// chain, and that its own jobs: to destroy them in one another would take
    /// a stack as deep as the chain is long.
    void discard(JobList jobs) {
        discarded_.append(std::move(jobs));
        if (discarding_) return;
        discarding_ = true;
        discarded_.clear();
        discarding_ = false;
    }

    /// Forgets all jobs.
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

}  // namespace promises
