// What every test of the course can use: its options, its deadlines, and words for the results.
#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

namespace support {

/// The test program's own options (doctest has more: --help).
struct Options {
    std::string build = "build";  ///< --build=DIR: where the servers are
    std::string server;           ///< --server="04-epoll --edge": program and arguments
    std::string results;          ///< --results=FILE: a line for each test case, for tests/run.py
};
const Options& options();

/// How long a wait may last before it counts as "this will never happen". 10 s; more where the
/// environment variable PATIENCE is a factor (PATIENCE=10 under valgrind).
std::chrono::milliseconds deadline();

/// Says what the test is waiting for, in case the watchdog has to end it.
void waiting_for(const std::string& what);

/// The test case shows a limit of this server, in these words; they go into the table.
void shows_limit(const std::string& words);

/// The test case cannot be run here, and why. Return from it afterwards.
void skip(const std::string& why);

/// Sleeps until the condition holds. Fails the test when that does not happen: "waited for WHAT".
void wait_until(const std::string& what, const std::function<bool()>& condition);

/// ThreadSanitizer adds a thread of its own to a program with threads; it wakes up now and then.
#if defined(__SANITIZE_THREAD__)
inline constexpr bool thread_sanitizer = true;
#elif defined(__has_feature)
inline constexpr bool thread_sanitizer = __has_feature(thread_sanitizer);
#else
inline constexpr bool thread_sanitizer = false;
#endif

/// The text in quotes, readable also where it is long or binary: 'ab\n... (5000 bytes)'.
std::string quoted(std::string_view text);

}  // namespace support
