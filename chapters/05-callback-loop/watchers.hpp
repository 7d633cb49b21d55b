// Who is to be called when a descriptor is ready.
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

/// Chapter 04's epoll with callbacks: at most one reader and one writer for
/// each descriptor.
class Watchers {
public:
    enum class Side { reader, writer };

    /// Descriptors with a reader, a writer, or both.
    [[nodiscard]] std::size_t count() const { return watches_.size(); }

    /// Replaces an earlier watcher of that side. `fd` is not owned: remove it
    /// here before it is closed. Throws std::system_error and changes nothing
    /// then.
    void add(int fd, Side side, Callback callback) {
        auto watcher = std::make_unique<Callback>(std::move(callback));
        auto fresh = std::make_unique<Watch>();
        Watch& watch =
            *watches_.try_emplace(fd, std::move(fresh)).first->second;
        const std::uint32_t before = watch.events();
        std::swap(watch[side], watcher);
        try {
            tell_kernel(fd, before, watch);
        } catch (...) {
            std::swap(watch[side], watcher);
            if (before == 0) watches_.erase(fd);
            throw;
        }
        retired_watchers_.push_back(std::move(watcher));
    }

    /// From now on it is not called, even if the kernel has named it already.
    /// False if there is none.
    bool remove(int fd, Side side) {
        const auto found = watches_.find(fd);
        if (found == watches_.end() || !(*found->second)[side]) return false;
        Watch& watch = *found->second;
        const std::uint32_t before = watch.events();
        retired_watchers_.push_back(std::move(watch[side]));
        tell_kernel(fd, before, watch);
        if (watch.events() == 0) {
            retired_watches_.push_back(std::move(found->second));
            watches_.erase(found);
        }
        return true;
    }

    /// Destroys what was removed, and with it what those callbacks own: its
    /// destructors may use the loop. So not while callbacks are being called,
    /// and before it is known how long wait() sleeps.
    void destroy_retired() {
        std::exchange(retired_watchers_, {});
        std::exchange(retired_watches_, {});
    }

    void remove_all() {
        std::exchange(watches_, {});
        destroy_retired();
    }

    /// Sleeps until somebody is ready or the time-out is over (negative: there
    /// is none), and passes the callbacks of those who are to `call`. Returns
    /// false if nobody is. When `call` throws, the rest of the batch is not
    /// lost: level-triggered, the kernel tells it again.
    bool wait(std::chrono::milliseconds timeout, const auto& call) {
        const auto events = epoll_.wait(timeout);
        for (const epoll_event& event : events) {
            const Watch& watch = *static_cast<Watch*>(event.data.ptr);
            // EPOLLHUP and EPOLLERR are for both: the next read or write says
            // what it is.
            if ((event.events & ~EPOLLOUT) != 0 && watch.reader)
                call(*watch.reader);
            if ((event.events & ~EPOLLIN) != 0 && watch.writer)
                call(*watch.writer);
        }
        return !events.empty();
    }

private:
    // null: nobody
    using Watcher = std::unique_ptr<Callback>;

    /// One registration of a descriptor; its address is the kernel's tag. A
    /// number that was closed and belongs to another connection now has another
    /// Watch: the old one's events stay with it.
    struct Watch {
        Watcher reader;
        Watcher writer;

        Watcher& operator[](Side side) {
            return side == Side::reader ? reader : writer;
        }
        [[nodiscard]] std::uint32_t events() const {
            return (reader ? EPOLLIN : 0U) | (writer ? EPOLLOUT : 0U);
        }
    };

    void tell_kernel(int fd, std::uint32_t before, Watch& watch) {
        const std::uint32_t events = watch.events();
        if (events == before) return;
        if (before == 0) {
            epoll_.add(fd, events, &watch);
        } else if (events == 0) {
            epoll_.remove(fd);
        } else {
            epoll_.modify(fd, events, &watch);
        }
    }

    epolling::Epoll epoll_;
    // By descriptor
    std::unordered_map<int, std::unique_ptr<Watch>> watches_;

    // What was removed is destroyed before the next wait, not at once: it may
    // be the callback that is running now, or the Watch that the rest of the
    // kernel's batch names.
    std::vector<Watcher> retired_watchers_;
    std::vector<std::unique_ptr<Watch>> retired_watches_;
};

}  // namespace callbacks
