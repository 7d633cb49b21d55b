// Plans: which tasks there are, and how long each one sleeps.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "chapters/07-simulated-clock/sleep_queue.hpp"
#include "common/descriptor.hpp"
#include "common/error.hpp"

namespace simulated {

/// One line of a plan, "NAME: d1 d2 d3".
struct PlannedTask {
    std::string name;
    // None is negative, and their sum is a Time, too.
    std::vector<Time> delays;
};

using Plan = std::vector<PlannedTask>;

/// Returns `text` as an error message shows it: on one line, and shortened.
inline std::string quoted(std::string_view text) {
    constexpr std::size_t most = 40;
    std::string shown(text.substr(0, most));
    for (char& c : shown) {
        if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = '?';
    }
    return "\"" + shown + (text.size() > most ? "..." : "") + "\"";
}

/// Parses plans, and reports which line is wrong and why.
class PlanParser {
public:
    /// `source` is the plan's name in messages: its file's name.
    explicit PlanParser(std::string source) : source_(std::move(source)) {}

    /// Throws std::runtime_error with the text "SOURCE:LINE: why".
    Plan parse(std::string_view text) {
        // Some editors begin a UTF-8 file with a byte order mark.
        constexpr std::string_view mark = "\xEF\xBB\xBF";
        if (text.starts_with(mark)) text.remove_prefix(mark.size());
        while (!text.empty()) {
            const std::size_t end = text.find('\n');
            ++line_;
            parse_line(text.substr(0, end));
            text.remove_prefix(end == std::string_view::npos ? text.size()
                                                             : end + 1);
        }
        return std::move(plan_);
    }

private:
    // Lines may end in CR LF.
    static constexpr std::string_view blank = " \t\r";

    void parse_line(std::string_view line) {
        line = trim(line.substr(0, line.find('#')));
        if (line.empty()) return;
        const std::size_t colon = line.find(':');
        if (colon == std::string_view::npos)
            fail("there is no \":\" after the name");
        parse_name(trim(line.substr(0, colon)));
        parse_delays(line.substr(colon + 1));
    }

    /// Rejects a name that is taken: in the output, two tasks with one name
    /// look the same.
    void parse_name(std::string_view name) {
        if (name.empty()) fail("there is no name before the \":\"");
        for (const char c : name) {
            if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') {
                fail("the name " + quoted(name) +
                     " contains a control character");
            }
        }
        const auto [first, is_new] =
            lines_.try_emplace(std::string(name), line_);
        if (!is_new) {
            fail("there is a task " + quoted(name) + " in line " +
                 std::to_string(first->second));
        }
        plan_.push_back({std::string(name), {}});
    }

    void parse_delays(std::string_view text) {
        Time sum = 0;
        while (true) {
            text.remove_prefix(
                std::min(text.find_first_not_of(blank), text.size()));
            if (text.empty()) return;
            const std::string_view word =
                text.substr(0, text.find_first_of(blank));
            text.remove_prefix(word.size());

            Time delay = 0;
            const char* end = word.data() + word.size();
            const auto [stop, error] = std::from_chars(word.data(), end, delay);
            const bool is_number =
                stop == end && error != std::errc::invalid_argument;
            if (!is_number || word.front() == '-')
                fail(quoted(word) + " is not a delay");
            if (error == std::errc::result_out_of_range ||
                delay > std::numeric_limits<Time>::max() - sum) {
                fail("the clock does not go as far as this task sleeps");
            }
            sum += delay;
            plan_.back().delays.push_back(delay);
        }
    }

    static std::string_view trim(std::string_view text) {
        text.remove_prefix(
            std::min(text.find_first_not_of(blank), text.size()));
        return text.substr(0, text.find_last_not_of(blank) + 1);
    }

    [[noreturn]] void fail(const std::string& why) const {
        throw std::runtime_error(source_ + ":" + std::to_string(line_) + ": " +
                                 why);
    }

    std::string source_;
    int line_ = 0;
    Plan plan_;
    // The line of each name.
    std::unordered_map<std::string, int> lines_;
};

/// Reads the plan in the file `path`; "-" is the standard input. Throws
/// std::system_error if it cannot be read, std::runtime_error if a line is
/// wrong.
inline Plan read_plan(const std::string& path) {
    const bool is_stdin = path == "-";
    const std::string what =
        "cannot read " + (is_stdin ? "the standard input" : path);
    const common::Descriptor file(
        ::open(is_stdin ? "/dev/stdin" : path.c_str(), O_RDONLY));
    if (!file) common::throw_errno(what);

    std::string text;
    std::array<char, 65536> buffer;
    while (true) {
        const ssize_t count = ::read(file.fd(), buffer.data(), buffer.size());
        if (count == 0)
            return PlanParser(is_stdin ? "stdin" : path).parse(text);
        // A signal arrived before any data: read again.
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) common::throw_errno(what);
        text.append(buffer.data(), static_cast<std::size_t>(count));
    }
}

}  // namespace simulated
