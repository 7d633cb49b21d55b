// The sleeping coroutines, ordered by their wake time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "chapters/05-callback-loop/clock.hpp"
#include "chapters/07-simulated-clock/wait_list.hpp"

namespace coroutines {

using callbacks::TimePoint;

/// A waiter that knows its index in the SleepQueue, so that it can be removed
/// at any time.
struct Sleeper : simulated::Waiter {
    static constexpr std::size_t nowhere = SIZE_MAX;
    std::size_t place = nowhere;
};

/// A binary heap. The sleeper that wakes first is on top; among sleepers with
/// the same wake time, the one that was pushed first. Pushing one, popping the
/// first one and removing any other one cost O(log n) each.
///
/// Chapter 07's queue is faster, but it moves its own clock to the next wake
/// time. The real clock moves by itself, and a loop can only ask how long the
/// first sleeper still has to sleep.
class SleepQueue {
public:
    [[nodiscard]] bool empty() const { return heap_.empty(); }
    [[nodiscard]] std::size_t size() const { return heap_.size(); }

    /// Returns when the first sleeper wakes. The queue must not be empty.
    [[nodiscard]] TimePoint next_deadline() const {
        return heap_.front().wake_at;
    }

    /// Adds `sleeper`, which is not owned and must be removed before it is
    /// destroyed. Throws std::bad_alloc.
    void push(Sleeper& sleeper, TimePoint wake_at) {
        const Entry entry{wake_at, next_order_++, &sleeper};
        heap_.push_back(entry);
        rise(heap_.size() - 1, entry);
    }

    /// Removes the first sleeper and returns it. The queue must not be empty.
    Sleeper& pop() noexcept {
        Sleeper& first = *heap_.front().sleeper;
        remove(first);
        return first;
    }

    /// Removes `sleeper` if it is in this queue.
    void remove(Sleeper& sleeper) noexcept {
        const std::size_t hole = std::exchange(sleeper.place, Sleeper::nowhere);
        if (hole == Sleeper::nowhere) return;
        const Entry last = heap_.back();
        heap_.pop_back();
        // It was the last entry itself.
        if (hole == heap_.size()) return;
        // The last entry fills the hole. It may have to sink or to rise.
        rise(sink(hole, last), last);
    }

private:
    struct Entry {
        TimePoint wake_at;
        // The order of arrival
        std::uint64_t order;
        Sleeper* sleeper;

        bool operator<(const Entry& other) const {
            return wake_at != other.wake_at ? wake_at < other.wake_at
                                            : order < other.order;
        }
    };

    /// Puts `entry` into the hole at `place`, or above it, so that its parent
    /// is not after it.
    void rise(std::size_t place, const Entry& entry) noexcept {
        while (place > 0 && entry < heap_[(place - 1) / 2]) {
            put(place, heap_[(place - 1) / 2]);
            place = (place - 1) / 2;
        }
        put(place, entry);
    }

    /// Moves the hole at `place` down until no child is before `entry`. Returns
    /// its new index.
    std::size_t sink(std::size_t place, const Entry& entry) noexcept {
        while (true) {
            std::size_t child = 2 * place + 1;
            if (child + 1 < heap_.size() && heap_[child + 1] < heap_[child])
                ++child;
            if (child >= heap_.size() || entry < heap_[child]) return place;
            put(place, heap_[child]);
            place = child;
        }
    }

    void put(std::size_t place, const Entry& entry) noexcept {
        heap_[place] = entry;
        entry.sleeper->place = place;
    }

    // The children of entry i are the entries 2i + 1 and 2i + 2.
    std::vector<Entry> heap_;
    std::uint64_t next_order_ = 0;
};

}  // namespace coroutines
