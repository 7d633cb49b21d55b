// What a promise is inside: its outcome, and the handlers that wait for it.
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

/// The error of a promise that was resolved with itself.
class TypeError : public std::logic_error {
public:
    using std::logic_error::logic_error;
};

/// The part of a promise's state that does not depend on the type of its value.
/// Deferred and Promise share it.
///
/// Adoption makes two promises one: one of the two states becomes a mere link
/// to the other, its root, which holds the outcome and the handlers. A chain
/// that goes on forever through handlers that return promises therefore does
/// not grow: a link is freed as soon as nothing refers to it.
class State : public std::enable_shared_from_this<State> {
public:
    explicit State(JobQueue& queue) : jobs(queue) {}
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State();

    /// Claims the right to resolve: true for the first caller only. A promise
    /// that has adopted another one is resolved, but may still be pending.
    bool try_resolve() { return !std::exchange(resolved_, true); }

    /// Sets the outcome. Call it once, for a root that is pending.
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

    /// Queues `handler` once the outcome is known. Handlers run from the job
    /// queue, in the order in which they were registered.
    void when_settled(std::unique_ptr<Job> handler) {
        mark_handled();
        // EXERCISE 06.1
        const auto end = root();
        end->handlers_.push(std::move(handler));
        end->run_reactions();
        // END 06.1
    }

    /// From now on `outer` has the outcome of `inner`.
    static void adopt(State& outer, State& inner) {
        auto from = inner.root();
        auto to = outer.root();
        if (from == to) {
            return to->settle(std::make_exception_ptr(TypeError(
                "a promise was resolved with itself: it would wait forever")));
        }
        inner.mark_handled();
        // A known error is copied, so that each of the two promises keeps the
        // debts that it has: those of `from` may have been reported already.
        if (from->status_ == Status::rejected) return to->settle(from->error_);
        // A known value stays where it is.
        if (from->status_ == Status::fulfilled) std::swap(from, to);
        to->unhandled_ += from->unhandled_;
        to->handlers_.append(std::move(from->handlers_));
        from->link_ = to;
        to->run_reactions();
    }

    /// Returns the state that holds the outcome.
    std::shared_ptr<State> root() {
        std::shared_ptr<State> state = shared_from_this();
        while (state->link_) {
            // Path compression: the next call takes fewer steps.
            if (state->link_->link_) state->link_ = state->link_->link_;
            state = state->link_;
        }
        return state;
    }

    JobQueue& jobs;

private:
    /// Moves the handlers into the job queue once the outcome is known
    /// (ECMAScript: TriggerPromiseReactions).
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

    /// Pays this promise's debt: a handler or an adopting promise now receives
    /// its error. The first call counts. After a report, nothing is owed any
    /// more.
    void mark_handled() {
        if (!std::exchange(handled_, true) && root()->unhandled_ > 0)
            --root()->unhandled_;
    }

    /// Runs when no other job is left, and reports the error if a debt is still
    /// open.
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
    Status status_ = Status::pending;
    std::exception_ptr error_;
    JobList handlers_;
    // Each promise starts with a debt: its error must reach a handler. A root
    // counts the open debts of all promises that have become one with it.
    int unhandled_ = 1;
    bool handled_ = false;
};

// Long chains are destroyed in loops, not by destructors inside destructors.
inline State::~State() {
    jobs.discard(std::move(handlers_));
    while (link_ && link_.use_count() == 1)
        link_ = std::exchange(link_->link_, nullptr);
}

/// The type that is stored for a value of type T.
template <typename T>
using Stored = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <typename T>
struct StateOf : State {
    using State::State;
    std::optional<Stored<T>> value;
};

}  // namespace promises
