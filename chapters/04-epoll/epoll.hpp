// The interest list that the kernel keeps, and the events it reports.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <span>

#include "common/descriptor.hpp"
#include "common/error.hpp"

namespace epolling {

/// An epoll instance. A descriptor is registered once; each wait() returns the
/// descriptors that are ready, and only those. Closing a descriptor removes it
/// from the list, unless a duplicate of it is still open (epoll(7)).
class Epoll {
public:
    Epoll()
        : epoll_(common::check(::epoll_create1(EPOLL_CLOEXEC),
                               "cannot create an epoll instance")) {}

    /// Watches `fd` for `events` (EPOLLIN...). `tag` is returned with each of
    /// its events and is not owned. Throws std::system_error (ENOSPC, ENOMEM:
    /// the system cannot watch any more descriptors).
    void add(int fd, std::uint32_t events, void* tag) {
        control(EPOLL_CTL_ADD, fd, events, tag);
    }

    /// Replaces the events that `fd` is watched for. Throws std::system_error.
    void modify(int fd, std::uint32_t events, void* tag) {
        control(EPOLL_CTL_MOD, fd, events, tag);
    }

    /// Stops watching `fd`. Does nothing if it is not watched: a descriptor
    /// that was closed has left the list already.
    void remove(int fd) {
        ::epoll_ctl(epoll_.fd(), EPOLL_CTL_DEL, fd, nullptr);
    }

    /// Sleeps until a descriptor is ready or the timeout is over (negative: no
    /// timeout). Returns the events, which are valid until the next call; none
    /// after a timeout or a signal. Throws std::system_error.
    std::span<const epoll_event> wait(std::chrono::milliseconds timeout) {
        const int room = static_cast<int>(events_.size());
        const int count = ::epoll_wait(epoll_.fd(), events_.data(), room,
                                       static_cast<int>(timeout.count()));
        if (count == -1 && errno == EINTR) return {};
        return {events_.data(), static_cast<std::size_t>(common::check(
                                    count, "cannot wait for events"))};
    }

private:
    void control(int operation, int fd, std::uint32_t events, void* tag) {
        epoll_event event{};
        event.events = events;
        event.data.ptr = tag;
        common::check(::epoll_ctl(epoll_.fd(), operation, fd, &event),
                      "cannot watch a descriptor");
    }

    common::Descriptor epoll_;
    // When more are ready, the rest comes with the next call
    std::array<epoll_event, 256> events_;
};

}  // namespace epolling
