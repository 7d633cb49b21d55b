// The options of the servers that have timers.
#pragma once

#include <charconv>
#include <chrono>
#include <string>
#include <string_view>

#include "common/command_line.hpp"

namespace common {

/// Zero switches an option off.
struct ServiceOptions {
    // A client that is silent for this long is disconnected.
    std::chrono::nanoseconds idle_timeout{};
    // Every reply is delayed by this time.
    std::chrono::nanoseconds reply_delay{};
};

/// Parses a time given as a number of `Unit`s, such as 2 or 0.5. Rounds up, so
/// that only 0 becomes 0. Throws UsageError, "bad WHAT: ...".
template <class Unit>
std::chrono::nanoseconds parse_time(std::string_view text,
                                    const std::string& what,
                                    const std::string& unit) {
    // In seconds, 31 years: nanoseconds still fit into 64 bits.
    constexpr double most = 1e9;
    double number = 0;
    const char* end = text.data() + text.size();
    // "fixed" rejects 1e9; the comparisons are false for "nan" and "inf".
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

/// Returns the option; `options` must outlive the parsing.
inline Option idle_timeout_option(ServiceOptions& options) {
    return {"--idle-timeout", "SECONDS",
            "close a client idle for this long (default: never)",
            [&options](std::string_view text) {
                options.idle_timeout = parse_time<std::chrono::seconds>(
                    text, "idle timeout", "seconds");
            }};
}

/// Returns the option; `options` must outlive the parsing.
inline Option reply_delay_option(ServiceOptions& options) {
    return {"--reply-delay", "MILLISECONDS",
            "delay every reply by this time (default: none)",
            [&options](std::string_view text) {
                options.reply_delay = parse_time<std::chrono::milliseconds>(
                    text, "reply delay", "milliseconds");
            }};
}

}  // namespace common
