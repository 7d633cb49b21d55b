// What select() is asked, and what it answers.
#pragma once

#include <sys/select.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "common/error.hpp"

namespace selecting {

/// The descriptors of one wait, as one bit for each number. Filled anew for
/// every wait, because select() writes its answer over the question.
class SelectSet {
public:
    SelectSet() {
        FD_ZERO(&readable_);
        FD_ZERO(&writable_);
    }

    /// An fd_set has room for the numbers 0 to 1023, whatever the limit of the
    /// process is. FD_SET beyond that writes over other memory (select(2)).
    static bool can_hold(int fd) { return fd < FD_SETSIZE; }

    /// Asks: could `fd` be read from without waiting? Requires can_hold(fd).
    void add_reader(int fd) { add(fd, readable_); }

    /// Asks: could `fd` be written to without waiting? Requires can_hold(fd).
    void add_writer(int fd) { add(fd, writable_); }

    /// Sleeps until one of them is ready, or until the time-out is over (zero:
    /// there is none). A signal ends it early, with nobody ready. Throws
    /// std::system_error.
    void wait(std::chrono::milliseconds timeout) {
        timeval time{timeout.count() / 1000, timeout.count() % 1000 * 1000};
        timeval* limit = timeout.count() > 0 ? &time : nullptr;
        if (::select(highest_ + 1, &readable_, &writable_, nullptr, limit) >= 0)
            return;
        if (errno != EINTR) common::throw_errno("cannot wait for clients");
        // After an error the sets still hold the question (select(2))
        *this = SelectSet();
    }

    /// After wait(): can `fd` go on, in the direction that was asked about?
    /// Closed by the other side, or broken, counts as ready: the next read or
    /// write says so.
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
