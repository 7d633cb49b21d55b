// Chapter 04's epoll with callbacks: which function to call when a descriptor
// is ready.
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "chapters/04-epoll/epoll.hpp"

namespace callbacks {

using Callback = std::function<void()>;

/// Waits for readiness and passes on the callbacks of ready descriptors. A
/// descriptor has at most one callback for each direction.
class Poller {
public:
    enum class Direction { read, write };

    /// Returns how many descriptors have a callback (for reading, writing, or
    /// both).
    [[nodiscard]] std::size_t count() const { return registrations_.size(); }

    /// Replaces an earlier callback for that direction. Does not own `fd`:
    /// remove it here before closing it. Throws std::system_error if epoll
    /// refuses the descriptor, and changes nothing then.
    void add(int fd, Direction direction, Callback callback) {
        auto added = std::make_unique<Callback>(std::move(callback));
        auto fresh = std::make_unique<Registration>();
        Registration& registration =
            *registrations_.try_emplace(fd, std::move(fresh)).first->second;
        const std::uint32_t before = registration.events();
        std::swap(registration[direction], added);
        try {
            update_epoll(fd, before, registration);
        } catch (...) {
            std::swap(registration[direction], added);
            if (before == 0) registrations_.erase(fd);
            throw;
        }
        retired_callbacks_.push_back(std::move(added));
    }

    /// The callback is not called again, even if the kernel has already
    /// reported its descriptor. Returns false if there is none.
    bool remove(int fd, Direction direction) {
        const auto found = registrations_.find(fd);
        if (found == registrations_.end()) return false;
        Registration& registration = *found->second;
        if (!registration[direction]) return false;
        const std::uint32_t before = registration.events();
        retired_callbacks_.push_back(std::move(registration[direction]));
        update_epoll(fd, before, registration);
        if (registration.events() == 0) {
            retired_registrations_.push_back(std::move(found->second));
            registrations_.erase(found);
        }
        return true;
    }

    /// Destroys the removed callbacks and everything they captured. The
    /// destructors of what they captured may use the loop, and remove more
    /// callbacks, so this is done while no callback runs, and before the loop
    /// decides how long wait() may block.
    void destroy_retired() {
        while (!retired_callbacks_.empty() || !retired_registrations_.empty()) {
            std::exchange(retired_callbacks_, {});
            std::exchange(retired_registrations_, {});
        }
    }

    void remove_all() {
        while (!registrations_.empty()) std::exchange(registrations_, {});
        destroy_retired();
    }

    /// Blocks until a descriptor is ready or `timeout` is over (negative: no
    /// timeout), and passes the callback of each ready descriptor to `call`.
    /// Returns false if no descriptor was ready. If `call` throws, the rest of
    /// the batch is not lost: epoll is level-triggered here and reports those
    /// descriptors again.
    bool wait(std::chrono::milliseconds timeout, const auto& call) {
        const auto events = epoll_.wait(timeout);
        for (const epoll_event& event : events) {
            const auto& registration =
                *static_cast<Registration*>(event.data.ptr);
            // EPOLLHUP and EPOLLERR concern both directions: the next read or
            // write returns the error.
            if ((event.events & ~EPOLLOUT) != 0 && registration.reader)
                call(*registration.reader);
            if ((event.events & ~EPOLLIN) != 0 && registration.writer)
                call(*registration.writer);
        }
        return !events.empty();
    }

private:
    /// Null if no callback is registered.
    using CallbackSlot = std::unique_ptr<Callback>;

    /// A descriptor's callbacks. Its address is the tag that epoll hands back.
    /// If a descriptor number is closed and reused within one batch, the new
    /// descriptor gets a new Registration, and the old one's events cannot
    /// reach it.
    struct Registration {
        CallbackSlot reader;
        CallbackSlot writer;

        CallbackSlot& operator[](Direction direction) {
            return direction == Direction::read ? reader : writer;
        }
        [[nodiscard]] std::uint32_t events() const {
            return (reader ? EPOLLIN : 0U) | (writer ? EPOLLOUT : 0U);
        }
    };

    void update_epoll(int fd, std::uint32_t before,
                      Registration& registration) {
        const std::uint32_t events = registration.events();
        if (events == before) return;
        if (before == 0) {
            epoll_.add(fd, events, &registration);
        } else if (events == 0) {
            epoll_.remove(fd);
        } else {
            epoll_.modify(fd, events, &registration);
        }
    }

    epolling::Epoll epoll_;
    // By descriptor number.
    std::unordered_map<int, std::unique_ptr<Registration>> registrations_;

    // Removed, and destroyed before the next wait rather than at once: a
    // callback may be the one that is running, and the rest of the batch may
    // still point to a registration.
    std::vector<CallbackSlot> retired_callbacks_;
    std::vector<std::unique_ptr<Registration>> retired_registrations_;
};

}  // namespace callbacks
