// Turns errno into an exception that names the failed attempt.
#pragma once

#include <cerrno>
#include <string>
#include <system_error>

namespace common {

/// Throws a std::system_error with the value of errno; its text reads
/// "WHAT: why". `what` names the attempt: "cannot listen on 127.0.0.1:7000".
[[noreturn]] inline void throw_errno(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

/// Checks the result of a system call: throws errno if it is -1, and returns
/// any other result unchanged.
inline int check(int result, const char* what) {
    if (result == -1) throw_errno(what);
    return result;
}

}  // namespace common
