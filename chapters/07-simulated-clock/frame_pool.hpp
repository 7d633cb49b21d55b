// Where the frames of coroutines come from.
#pragma once

#include <array>
#include <cstddef>
#include <new>
#include <utility>

namespace simulated {

/// A coroutine's frame comes from the heap by default: one allocation for each
/// call. Most calls need a frame of a size that was given back a moment ago, so
/// the pool keeps those in a list for each size, and taking one is reading a
/// pointer. What it holds is at most what was once in use at the same time; it
/// goes back to the system with the process.
///
/// There is one pool and no lock: coroutines that use it are created and
/// destroyed by one thread.
class FramePool {
public:
    /// Room for a frame of `size` bytes. Throws std::bad_alloc.
    static void* take(std::size_t size) {
        if (!keeps(size)) return ::operator new(size);
        FreeFrame*& first = first_[list_of(size)];
        if (first == nullptr) return ::operator new((list_of(size) + 1) * step);
        return std::exchange(first, first->next);
    }

    /// Takes a frame back; `size` as it was for take().
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

    // Sizes are rounded up to a multiple of this
    static constexpr std::size_t step = 32;
    // So frames of up to 1 KiB are kept
    static constexpr std::size_t lists = 32;

    static std::size_t list_of(std::size_t size) { return (size - 1) / step; }

#if defined(__SANITIZE_ADDRESS__)
    static constexpr bool pooling = false;
#elif defined(__has_feature)
    static constexpr bool pooling = !__has_feature(address_sanitizer);
#else
    static constexpr bool pooling = true;
#endif

    /// AddressSanitizer finds out who uses a frame that is gone, but only if it
    /// really is gone.
    static bool keeps(std::size_t size) {
        return pooling && size <= step * lists;
    }

    static inline std::array<FreeFrame*, lists> first_{};
};

/// A promise_type that derives from this has its coroutine's frame in the pool:
/// the compiler looks for operator new in the promise_type.
struct PooledFrame {
    static void* operator new(std::size_t size) {
        return FramePool::take(size);
    }
    static void operator delete(void* frame, std::size_t size) noexcept {
        FramePool::give_back(frame, size);
    }
};

}  // namespace simulated
