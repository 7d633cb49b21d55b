// The clock, and who sleeps until when.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "chapters/07-simulated-clock/wait_list.hpp"

namespace simulated {

/// A moment on the simulated clock, or a number of its ticks. What a tick
/// stands for is up to the simulation.
using Time = std::int64_t;

/// A waiter that sleeps. The ticket is its place in the SleepQueue.
struct Sleeper : Waiter {
    static constexpr std::size_t awake = SIZE_MAX;
    std::size_t ticket = awake;
};

/// A simulated clock and those who sleep by it. The clock never goes back, and
/// that allows something simpler and faster than a binary heap: a radix heap
/// (Ahuja, Mehlhorn, Orlin, Tarjan, 1990).
///
/// Compare a wake time with the clock, bit by bit: the highest bit in which
/// they differ tells the drawer. Drawer 0 is "now", and everybody in a lower
/// drawer wakes before anybody in a higher one. When the lower ones are empty,
/// the first drawer that is not is dealt out anew: its earliest time becomes
/// the clock, and all the others differ from that in a lower bit than before.
/// So nobody is dealt out more often than a time has bits, however many sleep;
/// and those who wake at the same time are always in one drawer, in the order
/// in which they came.
class SleepQueue {
public:
    /// What the clock shows: 0 at first.
    [[nodiscard]] Time now() const { return now_; }

    /// Lets `sleeper`, which is not owned, sleep until `wake_at` (not before
    /// now()). It must be taken out before it is destroyed. Throws
    /// std::bad_alloc.
    void push(Sleeper& sleeper, Time wake_at) {
        if (free_tickets_.empty()) {
            sleepers_.push_back(nullptr);
            // So that giving one back cannot fail
            free_tickets_.reserve(sleepers_.capacity());
            free_tickets_.push_back(sleepers_.size() - 1);
        }
        const std::size_t ticket = free_tickets_.back();
        put({wake_at, ticket});
        free_tickets_.pop_back();
        sleepers_[ticket] = &sleeper;
        sleeper.ticket = ticket;
    }

    /// Takes out `sleeper`, which sleeps here. Its entry stays in the drawer,
    /// as one of nobody, until there are more of these than of sleepers.
    void remove(Sleeper& sleeper) noexcept {
        sleepers_[sleeper.ticket] = nullptr;
        sleeper.ticket = Sleeper::awake;
        if (++removed_ > sleepers_.size() / 2) {
            for (Drawer& drawer : drawers_) drop_removed(drawer);
        }
    }

    /// Moves the clock to the earliest wake time, and all who wake then to the
    /// end of `ready`, first come first. Returns false, and the clock stays,
    /// when nobody sleeps.
    bool advance(WaitList& ready) {
        for (Drawer& drawer : drawers_) {
            if (removed_ > 0) drop_removed(drawer);
            if (drawer.empty()) continue;
            now_ =
                std::ranges::min_element(drawer, {}, &Entry::wake_at)->wake_at;
            for (const Entry& entry : drawer) {
                if (entry.wake_at == now_) {
                    ready.push_back(wake(entry));
                } else {
                    // Always into a drawer below this one
                    put(entry);
                    // It wakes sooner than most: let the processor fetch it
                    // while others run.
                    __builtin_prefetch(sleepers_[entry.ticket]);
                }
            }
            drawer.clear();
            return true;
        }
        return false;
    }

private:
    struct Entry {
        Time wake_at;
        std::size_t ticket;
    };
    using Drawer = std::vector<Entry>;

    void put(const Entry& entry) {
        const auto difference =
            static_cast<std::uint64_t>(entry.wake_at ^ now_);
        drawers_[std::bit_width(difference)].push_back(entry);
    }

    Sleeper& wake(const Entry& entry) noexcept {
        Sleeper& sleeper = *sleepers_[entry.ticket];
        sleeper.ticket = Sleeper::awake;
        free_tickets_.push_back(entry.ticket);
        return sleeper;
    }

    void drop_removed(Drawer& drawer) noexcept {
        std::erase_if(drawer, [this](const Entry& entry) {
            if (sleepers_[entry.ticket] != nullptr) return false;
            free_tickets_.push_back(entry.ticket);
            --removed_;
            return true;
        });
    }

    Time now_ = 0;
    // For 0 to 63 bits: a Time is not negative
    std::array<Drawer, 64> drawers_;
    // By ticket; nullptr: removed (a free ticket's says nothing)
    std::vector<Sleeper*> sleepers_;
    std::vector<std::size_t> free_tickets_;
    // Entries of nobody
    std::size_t removed_ = 0;
};

}  // namespace simulated
