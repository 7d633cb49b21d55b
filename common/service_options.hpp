// The options of the servers that know about time.
#pragma once

#include <charconv>
#include <chrono>
#include <string>
#include <string_view>

#include "common/command_line.hpp"

namespace common {

/// Zero: off.
struct ServiceOptions {
    // Closes a client that has been silent for that long
    std::chrono::nanoseconds idle_timeout{};
    // Lets every reply take that long
    std::chrono::nanoseconds reply_delay{};
};

/// A time given as a number of `Unit`s: 2, 0.5. Throws UsageError, "bad WHAT:
/// ...". Rounded up, so that no time but 0 becomes 0.
template <class Unit>
std::chrono::nanoseconds parse_time(std::string_view text,
                                    const std::string& what,
                                    const std::string& unit) {
    // 31 years of seconds: it still fits
    constexpr double most = 1e9;
    double number = 0;
    const char* end = text.data() + text.size();
    // "fixed" knows no 1e9, and the comparisons are false for "nan" and for
    // "inf".
    const auto [stop, error] =
        std::from_chars(text.data(), end, number, std::chars_format::fixed);
    const bool in_range = number >= 0 && number <= most;
    if (error != std::errc() || stop != end || !in_range) {
        throw UsageError("bad " + what + ": \"" + std::string(text) +
                         "\" is not a number of " + unit +
                         " from 0 to 1000000000");
    }
    using Units = std::chrono::duration<double, typename Unit::period>;
    return std::chrono::ceil<std::chrono::nanoseconds>(Units(number));
}

/// `options` must outlive the parsing.
inline Option idle_timeout_option(ServiceOptions& options) {
    return {"--idle-timeout", "SECONDS",
            "close a client silent that long (default: never)",
            [&options](std::string_view text) {
                options.idle_timeout = parse_time<std::chrono::seconds>(
                    text, "idle time-out", "seconds");
            }};
}

/// `options` must outlive the parsing.
inline Option reply_delay_option(ServiceOptions& options) {
    return {"--reply-delay", "MILLISECONDS",
            "let every reply take that long (default: none)",
            [&options](std::string_view text) {
                options.reply_delay = parse_time<std::chrono::milliseconds>(
                    text, "reply delay", "milliseconds");
            }};
}

}  // namespace common
