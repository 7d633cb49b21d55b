// Queues of suspended coroutines that cost no memory.
#pragma once

#include <coroutine>

namespace simulated {

/// A suspended coroutine's place in a queue. It is part of the awaiter, and so
/// lives in the coroutine's own frame: standing in a queue needs no memory, and
/// when the frame is destroyed the coroutine is out of the queue.
class Waiter {
public:
    Waiter() = default;
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;
    ~Waiter() { unlink(); }

    /// Takes it out of the queue it is in, if any.
    void unlink() noexcept {
        previous_->next_ = next_;
        next_->previous_ = previous_;
        next_ = previous_ = this;
    }

    // Whom to resume
    std::coroutine_handle<> coroutine;

private:
    friend class WaitList;
    // A ring: alone, it is its own neighbour
    Waiter* next_ = this;
    Waiter* previous_ = this;
};

/// A queue of waiters, first in, first out. Owns none of them.
class WaitList {
public:
    [[nodiscard]] bool empty() const { return ring_.next_ == &ring_; }

    /// Puts `waiter`, which stands in no queue, at the end.
    void push_back(Waiter& waiter) noexcept {
        waiter.previous_ = ring_.previous_;
        waiter.next_ = &ring_;
        ring_.previous_->next_ = &waiter;
        ring_.previous_ = &waiter;
    }

    /// The first one. Requires that there is one.
    [[nodiscard]] Waiter& front() const { return *ring_.next_; }

    /// Takes the first one out. Requires that there is one.
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
    // Stands before the first and after the last, so no case is special
    Waiter ring_;
};

}  // namespace simulated
