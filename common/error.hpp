// From errno to an exception that says what was being done.
#pragma once

#include <cerrno>
#include <string>
#include <system_error>

namespace common {

/// Throws what errno says, as a std::system_error whose text reads "WHAT: why".
/// `what` names the attempt: "cannot listen on 127.0.0.1:7000".
[[noreturn]] inline void throw_errno(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

/// The convention of system calls: -1 means that it failed and that errno says
/// why. Returns any other result unchanged.
inline int check(int result, const char* what) {
    if (result == -1) throw_errno(what);
    return result;
}

}  // namespace common
