// The kernel's list of descriptors to watch.
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

/// An epoll instance: told once what to watch, it answers with what happened,
/// and with nothing else. A descriptor leaves the list by being closed
/// (epoll(7): when no duplicate of it is open).
class Epoll {
public:
    Epoll()
        : epoll_(common::check(::epoll_create1(EPOLL_CLOEXEC),
                               "cannot create an epoll instance")) {}

    /// Watches `fd` for `events` (EPOLLIN...). `tag` comes back with each of
    /// its events; not owned. Throws std::system_error (ENOSPC, ENOMEM: the
    /// system cannot watch any more).
    void add(int fd, std::uint32_t events, void* tag) {
        control(EPOLL_CTL_ADD, fd, events, tag);
    }

    /// Watches `fd` for other events from now on.
    void modify(int fd, std::uint32_t events, void* tag) {
        control(EPOLL_CTL_MOD, fd, events, tag);
    }

    /// Stops watching `fd`. Harmless where it is watched no more: closed, it
    /// has left the list.
    void remove(int fd) {
        ::epoll_ctl(epoll_.fd(), EPOLL_CTL_DEL, fd, nullptr);
    }

    /// Sleeps until something happens, or until the time-out is over (negative:
    /// there is none). Returns what happened: valid until the next call. Empty
    /// after a time-out or a signal.
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
    // More than that come with the next call
    std::array<epoll_event, 256> events_;
};

}  // namespace epolling
