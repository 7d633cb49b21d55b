// What a test of a task observes: what ran when, what is alive, how deep the stack is. No loop.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "chapters/07-simulated-clock/task.hpp"

namespace tools {

using simulated::Task;

/// A log of what happened, in order: "a b c".
class Log {
public:
    void add(const std::string& word) { text_ += (text_.empty() ? "" : " ") + word; }
    [[nodiscard]] const std::string& text() const { return text_; }

private:
    std::string text_;
};

/// Stands for anything that a task holds while it waits. Counts how many guests are alive.
class Guest {
public:
    explicit Guest(int& alive) : alive_(&alive) { ++alive; }
    Guest(Guest&& other) noexcept : alive_(std::exchange(other.alive_, nullptr)) {}
    Guest& operator=(Guest&&) = delete;
    ~Guest() {
        if (alive_ != nullptr) --*alive_;
    }

private:
    int* alive_;
};

/// How many tasks the tests nest. With AddressSanitizer g++ cannot turn a symmetric transfer into a
/// jump, so each await costs some stack there.
#if defined(__SANITIZE_ADDRESS__) && !defined(__clang__)
constexpr bool jumps = false;
constexpr int many = 1'000;
#else
constexpr bool jumps = true;
constexpr int many = 1'000'000;
#endif

/// Records the lowest and the highest stack address at which note() was called.
class StackUse {
public:
    void note() {
        // Not the address of a variable: AddressSanitizer may store those elsewhere.
        const auto address = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
        if (lowest_ == 0 || address < lowest_) lowest_ = address;
        highest_ = std::max(highest_, address);
    }
    [[nodiscard]] std::size_t bytes() const { return highest_ - lowest_; }

private:
    std::uintptr_t lowest_ = 0;
    std::uintptr_t highest_ = 0;
};

/// `depth` tasks, each awaiting the next one. The result is their number.
inline Task<int> level(int depth, StackUse& stack) {
    stack.note();
    const int below = depth == 1 ? 0 : co_await level(depth - 1, stack);
    stack.note();
    co_return below + 1;
}

}  // namespace tools
