// For verify.py: writes down which holes of the reference a test case enters. A test that enters a
// hole ends there when the hole is blank.
#pragma once

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace exercises {

/// Appends the name to the file that the environment variable ENTERED names, once for each `static`
/// that calls it. Makes its system calls directly: some tests put their own functions before the C
/// library's, to count calls or to make them fail.
inline bool entered(const char* hole) noexcept {
    const char* path = std::getenv("ENTERED");
    if (path == nullptr) return true;
    const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC;
    const long fd = ::syscall(SYS_openat, AT_FDCWD, path, flags, 0644);
    if (fd < 0) return true;
    ::syscall(SYS_write, fd, hole, std::strlen(hole));
    ::syscall(SYS_close, fd);
    return true;
}

}  // namespace exercises
