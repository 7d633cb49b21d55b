// Queues of suspended coroutines that need no memory of their own.
#pragma once

#include <coroutine>
#include <stdexcept>

namespace simulated {

/// A suspended coroutine's entry in a queue (an intrusive list). It is part of
/// the awaiter, and so lives in the coroutine's own frame: being queued needs
/// no memory, and destroying the frame takes the coroutine out of the queue.
class Waiter {
public:
    Waiter() = default;
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;
    ~Waiter() { unlink(); }

    /// Takes this waiter out of its queue, if it is in one.
    void unlink() noexcept {
        previous_->next_ = next_;
        next_->previous_ = previous_;
        next_ = previous_ = this;
    }

    /// For awaiters. Throws std::logic_error if a coroutine waits already: an
    /// entry has room for one.
    void require_unused() const {
        if (coroutine)
            throw std::logic_error("another task waits for this awaiter");
    }

    // The coroutine to resume.
    std::coroutine_handle<> coroutine;

private:
    friend class WaitList;
    // A ring: a waiter that is in no queue is its own neighbour.
    Waiter* next_ = this;
    Waiter* previous_ = this;
};

/// A queue of waiters, first in, first out. It does not own them.
class WaitList {
public:
    [[nodiscard]] bool empty() const { return ring_.next_ == &ring_; }

    /// Appends `waiter`, which must not be in a queue.
    void push_back(Waiter& waiter) noexcept {
        waiter.previous_ = ring_.previous_;
        waiter.next_ = &ring_;
        ring_.previous_->next_ = &waiter;
        ring_.previous_ = &waiter;
    }

    /// Returns the first waiter. Requires that the queue is not empty.
    [[nodiscard]] Waiter& front() const { return *ring_.next_; }

    /// Removes the first waiter and returns it. Requires that the queue is not
    /// empty.
    Waiter&
    pop_front() noexcept {  // NOLINT(readability-make-member-function-const)
        Waiter& first = front();
        first.unlink();
        return first;
    }

    /// Calls `visit` with each waiter, from first to last.
    template <typename Visit>
    void for_each(Visit visit) const {
        for (Waiter* waiter = ring_.next_; waiter != &ring_;
             waiter = waiter->next_)
            visit(*waiter);
    }

private:
    // Before the first waiter and after the last one, so no case is special.
    Waiter ring_;
};

}  // namespace simulated
