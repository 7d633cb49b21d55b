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
/// freed frames in one list per size, and taking one reads a pointer.
///
/// Each thread has a pool of its own, so there is no lock. It keeps at most
/// `most_kept` bytes, until the thread ends. A frame may be freed by another
/// thread than the one that allocated it: it goes into that thread's pool.
class FramePool {
public:
    static constexpr std::size_t most_kept = 1024 * 1024;

    /// Returns memory for a frame of `size` bytes. Throws std::bad_alloc.
    static void* take(std::size_t size) {
        if (!keeps(size)) return ::operator new(size);
        FreeFrame*& first = first_[list_of(size)];
        if (first == nullptr) return ::operator new(rounded(size));
        room_ += rounded(size);
        return std::exchange(first, first->next);
    }

    /// Takes a frame back. `size` is the one that was passed to take().
    static void give_back(void* frame, std::size_t size) noexcept {
        if (!keeps(size) || room_ < rounded(size)) {
            ::operator delete(frame);
            return;
        }
        static thread_local const Emptied at_thread_end;
        room_ -= rounded(size);
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
    static std::size_t rounded(std::size_t size) {
        return (list_of(size) + 1) * step;
    }

    /// Frees what the thread keeps. Frames that are destroyed later, by the
    /// destructors of static objects, are not kept.
    struct Emptied {
        Emptied() = default;
        Emptied(const Emptied&) = delete;
        Emptied& operator=(const Emptied&) = delete;
        ~Emptied() {
            room_ = 0;
            for (FreeFrame* first : first_) {
                while (first != nullptr)
                    ::operator delete(std::exchange(first, first->next));
            }
            first_ = {};
        }
    };

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

    static inline thread_local constinit std::array<FreeFrame*, lists> first_{};
    // How many more bytes may be kept.
    static inline thread_local constinit std::size_t room_ = most_kept;
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
