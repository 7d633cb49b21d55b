// Destroying a chain of tasks without recursion.
//
// A task that awaits another one owns it: the awaiter in its frame holds the
// Task. So destroying the outermost frame destroys an awaiter, which destroys
// the next frame, and so on: one nested call per task, although no line of the
// source calls itself. A million tasks deep, that overflows the stack. Here the
// chain is destroyed in a loop instead, the innermost task first.
#pragma once

#include <coroutine>
#include <type_traits>
#include <utility>

namespace simulated {

/// A task's place in a chain: a base class of its promise.
struct ChainLink {
    // The task's own frame.
    std::coroutine_handle<> frame;
    // The task that this one awaits, if there is one.
    ChainLink* child = nullptr;
};

/// Destroys the frame of `outermost` and of every task below it.
inline void destroy_chain(ChainLink& outermost) noexcept {
    // Pointer reversal: on the way down to the innermost task, each link is
    // made to point to the task's parent,
    ChainLink* parent = nullptr;
    ChainLink* task = &outermost;
    while (ChainLink* child = std::exchange(task->child, parent)) {
        parent = task;
        task = child;
    }
    // so that the way back up needs neither recursion nor memory.
    while (task != nullptr) {
        parent = std::exchange(task->child, nullptr);
        task->frame.destroy();
        task = parent;
    }
}

/// The awaiter's side of a link. It writes ChainLink::child while the parent
/// waits, and knows afterwards whether destroy_chain() has destroyed the child.
class ParentLink {
public:
    /// `parent` awaits `child` from now on. Does nothing if `parent` is not the
    /// promise of a task: then the chain begins with `child`.
    template <typename Promise>
    void connect(Promise& parent, ChainLink& child) noexcept {
        if constexpr (std::is_base_of_v<ChainLink, Promise>) {
            parent_ = &parent;
            parent_->child = &child;
        }
    }

    /// The child has finished.
    void disconnect() noexcept {
        if (parent_ != nullptr) parent_->child = nullptr;
        parent_ = nullptr;
    }

    [[nodiscard]] bool child_was_destroyed() const noexcept {
        return parent_ != nullptr && parent_->child == nullptr;
    }

private:
    ChainLink* parent_ = nullptr;
};

}  // namespace simulated
