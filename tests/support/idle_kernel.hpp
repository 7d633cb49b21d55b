// Stands in for the kernel where code waits for events.
#pragma once

#include <cerrno>
#include <chrono>

namespace support {

/// During its lifetime, the calls with which code waits for events only note how long they should
/// sleep, and fail with `error`, or find nothing ready. A test file that uses it defines these
/// calls (select, poll, epoll_wait) for its whole test program; without an IdleKernel they make the
/// real system call.
struct IdleKernel {
    explicit IdleKernel(int error) : error(error) { current = this; }
    ~IdleKernel() { current = nullptr; }
    IdleKernel(const IdleKernel&) = delete;
    IdleKernel& operator=(const IdleKernel&) = delete;

    /// Returns what the call returns. `limit` is negative if it has none.
    int answer(std::chrono::microseconds limit) {
        sleep = limit;
        errno = error;
        return error == 0 ? 0 : -1;
    }

    static inline IdleKernel* current = nullptr;

    int error;  // 0: none
    std::chrono::microseconds sleep{0};
};

}  // namespace support
