// What a program says before it ends itself.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>

#include "common/error.hpp"

namespace support {

/// Runs `function` in a child process. Returns what that prints on stderr before it aborts.
template <typename Function>
std::string last_words(Function function) {
    std::array<int, 2> ends{};
    common::check(::pipe(ends.data()), "a test needs a pipe");
    const pid_t child = common::check(::fork(), "a test needs a process");
    if (child == 0) {
        std::signal(SIGABRT, SIG_DFL);
        ::dup2(ends[1], STDERR_FILENO);
        function();
        ::_exit(0);
    }
    ::close(ends[1]);
    std::string said;
    for (char c = 0; ::read(ends[0], &c, 1) == 1;) said += c;
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT) return "(it was not aborted) " + said;
    return said;
}

}  // namespace support
