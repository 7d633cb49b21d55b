// Counts the heap allocations of a program. Include it in one source file.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

inline long allocations = 0;

// The functions that every `new` and `delete` of the program calls, replaced.
// NOLINTBEGIN(misc-definitions-in-headers): see above.
[[gnu::noinline]] void* operator new(std::size_t size) {
    ++allocations;
    if (void* block = std::malloc(size)) return block;
    throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* block) noexcept {
    std::free(block);
}
[[gnu::noinline]] void operator delete(void* block,
                                       std::size_t /*size*/) noexcept {
    std::free(block);
}
// NOLINTEND(misc-definitions-in-headers)
