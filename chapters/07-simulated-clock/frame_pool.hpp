// The memory of coroutine frames.
#pragma once

#include <array>
#include <cstddef>
#include <new>
#include <utility>

namespace simulated {

/// Keeps freed coroutine frames for later calls.
///
/// By default, every call of a coroutine allocates its frame on the heap. Most
/// calls need a frame of a size that was freed a moment ago, so the pool keeps
/// freed frames in one list per size, and taking one reads a pointer. The pool
/// holds no more than was once in use at the same time, until the process ends.
///
/// There is one pool and no lock: all coroutines that use it must be created
/// and destroyed by the same thread.
class FramePool {
public:
    /// Returns memory for a frame of `size` bytes. Throws std::bad_alloc.
    static void* take(std::size_t size) {
        if (!keeps(size)) return ::operator new(size);
        FreeFrame*& first = first_[list_of(size)];
        if (first == nullptr) return ::operator new((list_of(size) + 1) * step);
        return std::exchange(first, first->next);
    }

    /// Takes a frame back. `size` is the one that was passed to take().
    static void give_back(void* frame, std::size_t size) noexcept {
        if (!keeps(size)) {
            ::operator delete(frame);
            return;
        }
        FreeFrame*& first = first_[list_of(size)];
        first = new (frame) FreeFrame{first};
    }

private:
    struct FreeFrame {
        FreeFrame* next;
    };

    // Sizes are rounded up to a multiple of this.
    static constexpr std::size_t step = 32;
    // So frames of up to 1 KiB are kept.
    static constexpr std::size_t lists = 32;

    static std::size_t list_of(std::size_t size) { return (size - 1) / step; }

#if defined(__SANITIZE_ADDRESS__)
    static constexpr bool pooling = false;
#elif defined(__has_feature)
    static constexpr bool pooling = !__has_feature(address_sanitizer);
#else
    static constexpr bool pooling = true;
#endif

    // With AddressSanitizer nothing is kept: it reports the use of a destroyed
    // frame only if the frame's memory was really freed.
    static bool keeps(std::size_t size) {
        return pooling && size <= step * lists;
    }

    static inline std::array<FreeFrame*, lists> first_{};
};

/// A base class for promises: it puts the coroutine's frame into the pool. The
/// compiler allocates a frame with the operator new of its promise_type.
struct PooledFrame {
    static void* operator new(std::size_t size) {
        return FramePool::take(size);
    }
    static void operator delete(void* frame, std::size_t size) noexcept {
        FramePool::give_back(frame, size);
    }
};

}  // namespace simulated
