// Exercise 03.3: the interface of chapter 03's SelectSet, on top of poll().
#pragma once

#include <poll.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <vector>

#include "common/error.hpp"

namespace selecting {

/// Has the interface of SelectSet, so the server can use either. The limit of
/// 1,024 is gone: instead of sets of bits, poll() takes an array of
/// {descriptor, requested events, returned events}.
class PollSet {
public:
    /// Returns true: poll() has no limit on the number of a descriptor.
    static bool can_hold(int /*fd*/) { return true; }

    /// Asks to be woken when `fd` is readable. Each descriptor is added once at
    /// most, as a reader or as a writer.
    void add_reader(int fd) { add(fd, POLLIN); }

    /// Asks to be woken when `fd` is writable.
    void add_writer(int fd) { add(fd, POLLOUT); }

    /// Sleeps until a descriptor is ready or the timeout is over (zero: no
    /// timeout). A signal ends the wait early; then no descriptor counts as
    /// ready. Throws std::system_error.
    void wait(std::chrono::milliseconds timeout) {
        const int limit =
            timeout.count() > 0 ? static_cast<int>(timeout.count()) : -1;
        if (::poll(entries_.data(), entries_.size(), limit) >= 0) return;
        if (errno != EINTR) common::throw_errno("cannot wait for clients");
        for (pollfd& entry : entries_) entry.revents = 0;
    }

    /// After wait(): returns true if `fd` is ready in the direction that was
    /// asked about. A connection that was closed or reset counts as ready: the
    /// next read or write reports it.
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
    // For each descriptor number, the index of its entry
    std::vector<std::size_t> index_;
};

}  // namespace selecting
