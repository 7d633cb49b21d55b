// How many blocks this test program has allocated.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

namespace allocations {

inline long allocated = 0;  // blocks that this program has asked for
inline long freed = 0;

/// Blocks that were allocated since the start.
inline long made() {
    return allocated;
}

/// Blocks that have not been freed yet.
inline long alive() {
    return allocated - freed;
}

}  // namespace allocations

// Counting replacements for all of this test program. They are weak, so several files may include
// them.
// NOLINTBEGIN(misc-definitions-in-headers, cppcoreguidelines-no-malloc, hicpp-no-malloc)
[[gnu::noinline, gnu::weak]] void* operator new(std::size_t size) {
    void* block = std::malloc(size);
    if (block == nullptr) throw std::bad_alloc();
    ++allocations::allocated;
    return block;
}
[[gnu::noinline, gnu::weak]] void operator delete(void* block) noexcept {
    if (block != nullptr) ++allocations::freed;
    std::free(block);
}
[[gnu::weak]] void operator delete(void* block, std::size_t /*size*/) noexcept {
    operator delete(block);
}
// NOLINTEND(misc-definitions-in-headers, cppcoreguidelines-no-malloc, hicpp-no-malloc)
