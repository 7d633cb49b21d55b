// The two calls of the kernel that several tests of chapter 08 look at or change.
#pragma once

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <functional>

namespace testing {

/// How often epoll_ctl(2) was called.
inline long epoll_changes = 0;

/// Says what the next EPOLL_CTL_ADD of a descriptor fails with; 0: it does not fail.
inline std::function<int(int fd)> refuse_watch;

/// Called before each connect(2).
inline std::function<void(int fd, const sockaddr* address, socklen_t size)> before_connect;

/// What connect(2) returns -1 with, after the kernel has begun to connect; 0: its own result.
inline int connect_error = 0;

}  // namespace testing

// They stand in front of the C library's, for all of this test program. They are weak, so several
// files may include them.
// NOLINTBEGIN(misc-definitions-in-headers,readability-inconsistent-declaration-parameter-name)
extern "C" {

__attribute__((weak)) int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
    ++testing::epoll_changes;
    if (operation == EPOLL_CTL_ADD && testing::refuse_watch) {
        if (const int error = testing::refuse_watch(fd); error != 0) {
            errno = error;
            return -1;
        }
    }
    return static_cast<int>(::syscall(SYS_epoll_ctl, epoll, operation, fd, event));
}

__attribute__((weak)) int connect(int fd, const sockaddr* address, socklen_t size) {
    if (testing::before_connect) testing::before_connect(fd, address, size);
    const int result = static_cast<int>(::syscall(SYS_connect, fd, address, size));
    if (testing::connect_error == 0) return result;
    errno = testing::connect_error;
    return -1;
}

}  // extern "C"
// NOLINTEND(misc-definitions-in-headers,readability-inconsistent-declaration-parameter-name)
