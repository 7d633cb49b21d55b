// Exercise 03.3: chapter 03's SelectSet, on top of poll() instead of select().
#pragma once

#include <poll.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <vector>

#include "common/error.hpp"

namespace selecting {

/// The same interface as SelectSet, so the server could use either. The wall at
/// 1,024 is gone: poll() takes a list of {descriptor, what is asked, what is
/// answered} instead of three sets of bits.
class PollSet {
public:
    /// Any number may be watched.
    static bool can_hold(int /*fd*/) { return true; }

    /// Asks: could `fd` be read from without waiting? At most one question for
    /// each descriptor.
    void add_reader(int fd) { add(fd, POLLIN); }

    /// Asks: could `fd` be written to without waiting?
    void add_writer(int fd) { add(fd, POLLOUT); }

    /// Sleeps until one of them is ready, or until the time-out is over (zero:
    /// there is none). A signal ends it early, with nobody ready. Throws
    /// std::system_error.
    void wait(std::chrono::milliseconds timeout) {
        const int limit =
            timeout.count() > 0 ? static_cast<int>(timeout.count()) : -1;
        if (::poll(entries_.data(), entries_.size(), limit) >= 0) return;
        if (errno != EINTR) common::throw_errno("cannot wait for clients");
        for (pollfd& entry : entries_) entry.revents = 0;
    }

    /// After wait(): can `fd` go on, in the direction that was asked about?
    /// Closed by the other side, or broken, counts as ready: the next read or
    /// write says so.
    [[nodiscard]] bool is_ready(int fd) const {
        const auto number = static_cast<std::size_t>(fd);
        if (number >= index_.size() || index_[number] == absent) return false;
        return entries_[index_[number]].revents != 0;
    }

private:
    void add(int fd, short events) {
        const auto number = static_cast<std::size_t>(fd);
        if (number >= index_.size()) index_.resize(number + 1, absent);
        index_[number] = entries_.size();
        entries_.push_back({fd, events, 0});
    }

    static constexpr std::size_t absent = static_cast<std::size_t>(-1);

    std::vector<pollfd> entries_;
    // By descriptor: where its question stands
    std::vector<std::size_t> index_;
};

}  // namespace selecting
