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
/// freed frames in one list per size, and taking one reads a pointer. A list
/// holds at most 1,000 frames; what is freed beyond that goes to the heap.
///
/// Each thread has a pool of its own, until it ends, so no lock is needed.
class FramePool {
public:
    /// Returns memory for a frame of `size` bytes. Throws std::bad_alloc.
    static void* take(std::size_t size) {
        if (!keeps(size)) return ::operator new(size);
        FreeList& list = lists_[list_of(size)];
        if (list.first == nullptr)
            return ::operator new((list_of(size) + 1) * step);
        --list.length;
        return std::exchange(list.first, list.first->next);
    }

    /// Takes a frame back. `size` is the one that was passed to take().
    static void give_back(void* frame, std::size_t size) noexcept {
        if (!keeps(size) || lists_[list_of(size)].length == longest) {
            ::operator delete(frame);
            return;
        }
        static thread_local const Cleaner at_the_end_of_this_thread;
        FreeList& list = lists_[list_of(size)];
        list.first = new (frame) FreeFrame{list.first};
        ++list.length;
    }

private:
    struct FreeFrame {
        FreeFrame* next;
    };

    struct FreeList {
        FreeFrame* first;
        std::size_t length;
    };

    /// Returns a thread's frames to the heap.
    struct Cleaner {
        ~Cleaner() {
            for (FreeList& list : lists_) {
                while (list.first != nullptr) {
                    ::operator delete(
                        std::exchange(list.first, list.first->next));
                }
                // Whatever is freed later than this is not kept.
                list.length = longest;
            }
        }
    };

    // Sizes are rounded up to a multiple of this.
    static constexpr std::size_t step = 32;
    // So frames of up to 1 KiB are kept.
    static constexpr std::size_t lists = 32;
    static constexpr std::size_t longest = 1000;

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

    static inline constinit thread_local std::array<FreeList, lists> lists_{};
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
