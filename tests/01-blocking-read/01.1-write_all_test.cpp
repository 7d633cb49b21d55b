// Exercise 01.1: write_all() when writes are short, interrupted, or fail.
#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <string>

#include "chapters/01-blocking-read/echo.hpp"
#include "tests/support/interposed.hpp"
#include "tests/support/test.hpp"

namespace {

using blocking::write_all;
using support::Interposed;
using support::quoted;

/// A kernel that records what it took.
struct Kernel : Interposed {
    /// Each write takes at most `most` bytes.
    explicit Kernel(std::size_t most) {
        write = [this, most](int, const void* data, std::size_t size) -> ssize_t {
            if (++calls > 1000) throw support::Spinning();
            const std::size_t count = std::min(size, most);
            taken.append(static_cast<const char*>(data), count);
            return static_cast<ssize_t>(count);
        };
    }

    std::string taken;
    int calls = 0;
};

const std::string text = "the quick brown fox";

}  // namespace

TEST_CASE("01.1 after a short write, the next one continues where it stopped") {
    INFO("we called write_all() with ", quoted(text), "; each write(2) took at most 3 bytes");
    Kernel kernel(3);
    bool result = false;
    CHECK_NOTHROW_MESSAGE(result = write_all(7, text.data(), text.size()),
                          "after 1000 calls of write(2) it had still not returned");
    CHECK_MESSAGE(kernel.taken == text, "the client should have got all of it, in order; it got ",
                  quoted(kernel.taken),
                  ". write(2) returns how many bytes it took: continue after them");
    CHECK_MESSAGE(result, "everything was written: write_all() should return true");
}

TEST_CASE("01.1 a write interrupted by a signal loses nothing") {
    INFO("we called write_all() with ", quoted(text),
         "; every second write(2) failed with EINTR, the others took 5 bytes");
    Kernel kernel(5);
    int call = 0;
    kernel.write = [&call, take = kernel.write](int fd, const void* data,
                                                std::size_t size) -> ssize_t {
        if (++call % 2 == 0) return take(fd, data, size);
        errno = EINTR;
        return -1;
    };
    CHECK_MESSAGE(write_all(7, text.data(), text.size()),
                  "write_all() gave up. EINTR says that a signal came before anything was written: "
                  "the client is still connected, so try again (docs/01-blocking-read.md)");
    CHECK_MESSAGE(kernel.taken == text, "the client should have got all of it; it got ",
                  quoted(kernel.taken));
}

TEST_CASE("01.1 a client that has disconnected ends it") {
    INFO("we called write_all(); the first write(2) took 4 bytes, the second failed with EPIPE");
    Kernel kernel(4);
    kernel.write = [&kernel, take = kernel.write](int fd, const void* data,
                                                  std::size_t size) -> ssize_t {
        if (kernel.taken.empty()) return take(fd, data, size);
        if (++kernel.calls > 100) throw support::Spinning();
        errno = EPIPE;
        return -1;
    };
    bool result = true;
    CHECK_NOTHROW_MESSAGE(result = write_all(7, text.data(), text.size()),
                          "it kept writing to a client that has disconnected. Which errors of "
                          "write(2) are worth another attempt?");
    CHECK_MESSAGE(!result, "the client has disconnected: write_all() should return false");
}

TEST_CASE("01.1 with 0 bytes there is nothing to do") {
    INFO("we called write_all() with 0 bytes");
    Kernel kernel(3);
    CHECK(write_all(7, text.data(), 0));
    CHECK_MESSAGE(kernel.taken.empty(), "nothing should have been written");
}
