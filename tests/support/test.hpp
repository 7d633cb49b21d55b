// What every test of the course uses: options, deadlines, and results.
#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

namespace support {

/// The test program's own options, in addition to doctest's (--help).
struct Options {
    std::string build = "build";  ///< --build=DIR: where the servers are
    std::string server;           ///< --server="04-epoll --edge": program and arguments
    std::string results;          ///< --results=FILE: one line per test case, for tests/run.py
};
const Options& options();

/// Returns how long a wait may last before the test fails: 10 s, multiplied by the environment
/// variable PATIENCE if it is set (PATIENCE=10 under valgrind).
std::chrono::milliseconds deadline();

/// Records what the test is waiting for, in case the watchdog has to end it.
void waiting_for(const std::string& what);

/// Records that the test case has measured a limit of this server; `words` go into the table.
void shows_limit(const std::string& words);

/// Records why the test case cannot run here. Return from the test case afterwards.
void skip(const std::string& why);

/// Sleeps until the condition holds. Fails the test after the deadline: "waited for WHAT".
void wait_until(const std::string& what, const std::function<bool()>& condition);

/// ThreadSanitizer adds its own thread to a program with threads, and it wakes up now and then.
#if defined(__SANITIZE_THREAD__)
inline constexpr bool thread_sanitizer = true;
#elif defined(__has_feature)
inline constexpr bool thread_sanitizer = __has_feature(thread_sanitizer);
#else
inline constexpr bool thread_sanitizer = false;
#endif

/// Returns the text in quotes, readable even if it is long or binary: 'ab\n... (5000 bytes)'.
std::string quoted(std::string_view text);

/// Returns the first difference, in a line that stays short however long the texts are:
/// "512 bytes were expected, 16384 came; from byte 512 on, expected: '', came: '????'".
std::string difference(std::string_view came, std::string_view expected);

}  // namespace support
