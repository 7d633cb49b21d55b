// The question that select() is asked, and the answer it writes over it.
#pragma once

#include <sys/select.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "common/error.hpp"

namespace selecting {

/// The descriptors to wait for: one bit for each number. A set serves for one
/// wait, because select() overwrites the question with its answer.
class SelectSet {
public:
    SelectSet() {
        FD_ZERO(&readable_);
        FD_ZERO(&writable_);
    }

    /// Returns true if an fd_set has room for `fd`: it holds the numbers 0 to
    /// 1023, whatever the limit of the process is. FD_SET beyond that writes
    /// over other memory (select(2)).
    static bool can_hold(int fd) { return fd < FD_SETSIZE; }

    /// Asks to be woken when `fd` is readable. Requires can_hold(fd).
    void add_reader(int fd) { add(fd, readable_); }

    /// Asks to be woken when `fd` is writable. Requires can_hold(fd).
    void add_writer(int fd) { add(fd, writable_); }

    /// Sleeps until a descriptor is ready or the timeout is over (zero: no
    /// timeout). A signal ends the wait early; then no descriptor counts as
    /// ready. Throws std::system_error.
    void wait(std::chrono::milliseconds timeout) {
        timeval time{timeout.count() / 1000, timeout.count() % 1000 * 1000};
        timeval* limit = timeout.count() > 0 ? &time : nullptr;
        if (::select(highest_ + 1, &readable_, &writable_, nullptr, limit) >= 0)
            return;
        if (errno != EINTR) common::throw_errno("cannot wait for clients");
        // After an error the sets still hold the question (select(2))
        *this = SelectSet();
    }

    /// After wait(): returns true if `fd` is ready in the direction that was
    /// asked about. A connection that was closed or reset counts as ready: the
    /// next read or write reports it.
    [[nodiscard]] bool is_ready(int fd) const {
        return FD_ISSET(fd, &readable_) || FD_ISSET(fd, &writable_);
    }

private:
    void add(int fd, fd_set& set) {
        FD_SET(fd, &set);
        highest_ = std::max(highest_, fd);
    }

    fd_set readable_;
    fd_set writable_;
    int highest_ = -1;
};

}  // namespace selecting
