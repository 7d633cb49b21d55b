// What a promise is inside: its outcome, and who waits for it.
#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <variant>

#include "chapters/06-promises/job_queue.hpp"

namespace promises {

enum class Status { pending, fulfilled, rejected };

/// A promise was resolved with itself.
class TypeError : public std::logic_error {
public:
    using std::logic_error::logic_error;
};

/// What all promises have, whatever their value is.
///
/// Adoption makes two promises one. Then one of the two states is only a link
/// to the other, its root, where the outcome and the handlers are. So a chain
/// that goes on and on through handlers that return promises does not grow: its
/// links are forgotten as soon as nobody holds them.
class State : public std::enable_shared_from_this<State> {
public:
    explicit State(JobQueue& queue) : jobs(queue) {}
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    ~State() {
        jobs.discard(std::move(handlers_));
        while (link_ && link_.use_count() == 1)
            link_ = std::exchange(link_->link_, nullptr);
    }

    std::shared_ptr<State> root() {
        std::shared_ptr<State> state = shared_from_this();
        while (state->link_) {
            // Shorten the way
            if (state->link_->link_) state->link_ = state->link_->link_;
            state = state->link_;
        }
        return state;
    }

    /// Once: true. A promise that has adopted another one is resolved, but may
    /// still be pending.
    bool try_resolve() { return !std::exchange(resolved_, true); }

    /// The outcome is known. Only for a root that is pending.
    void settle(Status outcome) {
        status_ = outcome;
        run_reactions();
    }
    void settle(std::exception_ptr error) {
        error_ = std::move(error);
        settle(Status::rejected);
    }

    [[nodiscard]] Status status() const { return status_; }
    [[nodiscard]] const std::exception_ptr& error() const { return error_; }

    /// Lets `handler` run once the outcome is known: in order, and always from
    /// the queue.
    void when_settled(std::unique_ptr<Job> handler) {
        mark_handled();
        // EXERCISE 06.1
        const auto end = root();
        end->handlers_.push(std::move(handler));
        end->run_reactions();
        // END 06.1
    }

    /// From now on the outcome of `inner` is the outcome of `outer` too.
    static void adopt(State& outer, State& inner) {
        auto from = inner.root();
        auto to = outer.root();
        if (from == to) {
            return to->settle(std::make_exception_ptr(TypeError(
                "a promise was resolved with itself: it would wait for ever")));
        }
        inner.mark_handled();
        // What is known stays in place
        if (from->status_ != Status::pending) std::swap(from, to);
        to->unhandled_ += from->unhandled_;
        to->handlers_.append(std::move(from->handlers_));
        from->link_ = to;
        to->run_reactions();
    }

    JobQueue& jobs;

private:
    /// Whoever waits for this promise, or adopts it, is responsible for its
    /// error from now on; or comes too late, after the report.
    void mark_handled() {
        if (!std::exchange(handled_, true) && root()->unhandled_ > 0)
            --root()->unhandled_;
    }

    /// Where the outcome is known, whoever waits for it goes into the queue,
    /// with its source.
    void run_reactions() {
        // EXERCISE 06.1
        if (status_ == Status::pending) return;
        while (auto handler = handlers_.pop()) {
            handler->source = shared_from_this();
            jobs.push(std::move(handler));
        }
        // END 06.1
        if (status_ == Status::rejected && unhandled_ > 0) {
            jobs.push_when_empty(std::make_unique<Report>(shared_from_this()));
        }
    }

    /// Nothing else is left to do: does anybody handle that error by now?
    struct Report : Job {
        explicit Report(std::shared_ptr<State> state) {
            source = std::move(state);
        }
        void run() override {
            const auto end = source->root();
            if (std::exchange(end->unhandled_, 0) > 0)
                end->jobs.report_unhandled(end->error_);
        }
    };

    std::shared_ptr<State> link_;
    bool resolved_ = false;
    bool handled_ = false;
    // Of the promises that are one with this: how many nobody waits for
    int unhandled_ = 1;
    Status status_ = Status::pending;
    std::exception_ptr error_;
    JobList handlers_;
};

template <typename T>
using Stored = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <typename T>
struct StateOf : State {
    using State::State;
    std::optional<Stored<T>> value;
};

}  // namespace promises
