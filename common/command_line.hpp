// How every program of the course starts: its command line and its errors.
#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "common/error.hpp"

namespace common {

/// An invalid command line. The text names the mistake; run_program() adds the
/// usage.
class UsageError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// One option. `value` is the placeholder shown in the usage ("SECONDS"); a
/// bare switch has none. `set` receives the given value and throws UsageError
/// if it is invalid. A name without dashes ("PLAN") is an optional operand.
struct Option {
    std::string name;
    std::string value;
    std::string help;
    std::function<void(std::string_view)> set;
};

/// Returns the option that every server has. `port` must outlive the parsing.
inline Option port_option(std::uint16_t& port) {
    return {"--port", "N", "listen on this port (default 7000; 0: any free)",
            [&port](std::string_view text) {
                const char* end = text.data() + text.size();
                const auto [stop, error] =
                    std::from_chars(text.data(), end, port);
                if (error != std::errc() || stop != end) {
                    throw UsageError("bad port: \"" + std::string(text) +
                                     "\" is not a number from 0 to 65535");
                }
            }};
}

/// Returns "usage: PROGRAM [--port N] ...", the purpose, and a line per option.
inline std::string usage(const std::string& program, const std::string& purpose,
                         const std::vector<Option>& options) {
    std::string text = "usage: " + program;
    std::string lines;
    std::size_t column = text.size();
    const auto add = [&](const std::string& word) {
        const std::string gap = column + word.size() < 80 ? " " : "\n       ";
        column = (gap == " " ? column + 1 : gap.size() - 1) + word.size();
        text += gap + word;
    };
    for (const Option& option : options) {
        const std::string shown = option.value.empty()
                                      ? option.name
                                      : option.name + " " + option.value;
        add("[" + shown + "]");
        std::string line = "  " + shown;
        line.resize(std::max<std::size_t>(line.size() + 1, 30), ' ');
        lines += line + option.help + "\n";
    }
    add("[--help]");
    return text + "\n" + purpose + "\n" + lines;
}

/// Sets the given options; accepts `--name value` and `--name=value`. Returns
/// false if the arguments ask for help. Throws UsageError.
inline bool parse(const std::vector<std::string_view>& arguments,
                  const std::vector<Option>& options) {
    bool operand_seen = false;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string_view argument = arguments[i];
        if (argument == "--help" || argument == "-h") return false;
        const std::size_t equals = argument.find('=');
        const std::string name(argument.substr(0, equals));
        const bool has_value = equals != std::string_view::npos;
        const bool stands_alone = argument == "-" || !argument.starts_with('-');

        const Option* found = nullptr;
        for (const Option& option : options) {
            const bool is_operand = !option.name.starts_with('-');
            if (is_operand ? stands_alone && !operand_seen
                           : option.name == name)
                found = &option;
        }
        if (found == nullptr) {
            throw UsageError("bad argument: there is no \"" +
                             std::string(argument) + "\"");
        }
        if (stands_alone) {
            operand_seen = true;
            found->set(argument);
        } else if (found->value.empty()) {
            if (has_value)
                throw UsageError("bad option: " + name + " takes no value");
            found->set({});
        } else if (has_value) {
            found->set(argument.substr(equals + 1));
        } else if (i + 1 < arguments.size()) {
            found->set(arguments[++i]);
        } else {
            throw UsageError("bad option: " + name + " needs a value (" +
                             found->value + ")");
        }
    }
    return true;
}

/// Raises the soft limit on open descriptors to the hard limit, which needs no
/// privilege. A failure is ignored: the listener copes with a full table.
inline void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/// Writes out what was printed. Throws std::system_error if it is lost: the
/// disk is full, or stdout is closed.
inline void flush_stdout() {
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
        throw_errno("cannot write to stdout");
}

/// Runs a program: parses the command line, calls `body`, and reports an
/// exception as one line on stderr. `name` starts every message; `purpose` is a
/// line for --help. Returns the exit status: what `body` returns, 1 if it
/// threw, 2 for an invalid command line.
inline int run_program(int argc, char** argv, const std::string& name,
                       const std::string& purpose,
                       const std::vector<Option>& options,
                       const std::function<int()>& body) {
    // If the program was started with stdin, stdout or stderr closed, its first
    // socket would get that number, and messages would go to a client. So the
    // free numbers below 3 are filled first.
    while (true) {
        const int fd = ::open("/dev/null", O_RDWR);
        if (fd > STDERR_FILENO || fd < 0) {
            if (fd >= 0) ::close(fd);
            break;
        }
    }
    // By default, writing to a client that has disconnected kills the process.
    // With SIGPIPE ignored, the write fails with EPIPE (write(2)) and only that
    // client is lost. The same holds for a terminal that was closed.
    std::signal(SIGPIPE, SIG_IGN);

    try {
        if (!parse({argv + 1, argv + argc}, options)) {
            std::fputs(usage(name, purpose, options).c_str(), stdout);
            flush_stdout();
            return 0;
        }
        return body();
    } catch (const UsageError& error) {
        std::fprintf(stderr, "%s: %s\n%s", name.c_str(), error.what(),
                     usage(name, purpose, options).c_str());
        return 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s\n", name.c_str(), error.what());
        return 1;
    }
}

}  // namespace common
