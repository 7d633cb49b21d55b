// Exercise 01.1: write_all() when writes are short, interrupted, or fail.
#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <string>
#include <system_error>

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
            if (size == 0) return 0;
            const std::size_t count = std::min(size, most);
            taken.append(static_cast<const char*>(data), count);
            return static_cast<ssize_t>(count);
        };
    }

    /// Calls write_all(). If it never returns, the test fails with `why`.
    bool write_text(const std::string& why) {
        try {
            return write_all(7, text.data(), text.size());
        } catch (const support::Spinning&) {
            FAIL("write_all() made very many calls of write(2) and had still not returned. ", why,
                 " (docs/01-blocking-read.md)");
        }
        return false;
    }

    const std::string text = "the quick brown fox";
    std::string taken;
    int calls = 0;
};

}  // namespace

TEST_CASE("01.1 after a short write, the next one continues where it stopped") {
    Kernel kernel(3);
    INFO("we called write_all() with ", quoted(kernel.text),
         "; each write(2) took at most 3 bytes");
    const bool result = kernel.write_text("Each of them takes some of the bytes");
    CHECK_MESSAGE(kernel.taken == kernel.text,
                  "the client should have got all of it, in order; it got ", quoted(kernel.taken),
                  ". write(2) returns how many bytes it took: continue after them");
    CHECK_MESSAGE(result, "everything was written: write_all() should return true");
}

TEST_CASE("01.1 a write interrupted by a signal loses nothing") {
    Kernel kernel(5);
    INFO("we called write_all() with ", quoted(kernel.text),
         "; of every four writes three failed with EINTR, and the fourth took 5 bytes");
    int call = 0;
    kernel.write = [&call, take = kernel.write](int fd, const void* data,
                                                std::size_t size) -> ssize_t {
        if (++call % 4 == 0) return take(fd, data, size);
        errno = EINTR;
        return -1;
    };
    CHECK_MESSAGE(kernel.write_text("The client is still connected"),
                  "write_all() gave up. EINTR says that a signal came before anything was written: "
                  "the client is still connected, so try again (docs/01-blocking-read.md)");
    CHECK_MESSAGE(kernel.taken == kernel.text, "the client should have got all of it; it got ",
                  quoted(kernel.taken));
}

TEST_CASE("01.1 a client that has disconnected ends it") {
    for (const int error : {EPIPE, ECONNRESET, ETIMEDOUT, ENOBUFS}) {
        INFO("we called write_all(); the first write(2) took 4 bytes, the second failed with \"",
             std::generic_category().message(error), "\"");
        Kernel kernel(4);
        kernel.write = [&kernel, error, take = kernel.write](int fd, const void* data,
                                                             std::size_t size) -> ssize_t {
            if (kernel.taken.empty()) return take(fd, data, size);
            if (++kernel.calls > 100) throw support::Spinning();
            errno = error;
            return -1;
        };
        CHECK_MESSAGE(!kernel.write_text("it kept writing to a client that has disconnected. Which "
                                         "errors of write(2) are worth another attempt?"),
                      "the client has disconnected: write_all() should return false");
    }
}

TEST_CASE("01.1 with 0 bytes there is nothing to do") {
    INFO("we called write_all() with 0 bytes");
    Kernel kernel(3);
    CHECK_MESSAGE(write_all(7, kernel.text.data(), 0),
                  "all 0 bytes are written: write_all() should return true");
    CHECK_MESSAGE(kernel.taken.empty(), "nothing should have been written");
}
