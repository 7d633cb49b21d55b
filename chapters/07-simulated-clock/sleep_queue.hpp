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

/// A waiter that sleeps. The slot is its place in the SleepQueue.
struct Sleeper : Waiter {
    static constexpr std::size_t awake = SIZE_MAX;
    std::size_t slot = awake;
};

/// A simulated clock and those who sleep by it. The clock never goes back, and
/// that allows something simpler and faster than a binary heap: a radix heap
/// (Ahuja, Mehlhorn, Orlin, Tarjan, 1990).
///
/// Compare a wake time with the clock, bit by bit: the highest bit in which
/// they differ tells the bucket. Bucket 0 is "now", and everybody in a lower
/// bucket wakes before anybody in a higher one. When the lower ones are empty,
/// the first bucket that is not is dealt out anew: its earliest time becomes
/// the clock, and all the others differ from that in a lower bit than before.
/// So nobody is dealt out more often than a time has bits, however many sleep;
/// and those who wake at the same time are always in one bucket, in the order
/// in which they came.
class SleepQueue {
public:
    /// What the clock shows: 0 at first.
    [[nodiscard]] Time now() const { return now_; }

    /// Lets `sleeper`, which is not owned, sleep until `wake_at` (not before
    /// now()). It must be taken out before it is destroyed. Throws
    /// std::bad_alloc.
    void push(Sleeper& sleeper, Time wake_at) {
        if (free_slots_.empty()) {
            sleepers_.push_back(nullptr);
            // So that giving one back cannot fail
            free_slots_.reserve(sleepers_.capacity());
            free_slots_.push_back(sleepers_.size() - 1);
        }
        const std::size_t slot = free_slots_.back();
        put({wake_at, slot});
        free_slots_.pop_back();
        sleepers_[slot] = &sleeper;
        sleeper.slot = slot;
    }

    /// Takes out `sleeper`, which sleeps here. Its entry stays in the bucket,
    /// as one of nobody, until there are more of these than of sleepers.
    void remove(Sleeper& sleeper) noexcept {
        sleepers_[sleeper.slot] = nullptr;
        sleeper.slot = Sleeper::awake;
        if (++removed_ > sleepers_.size() / 2) {
            for (Bucket& bucket : buckets_) drop_removed(bucket);
        }
    }

    /// Moves the clock to the earliest wake time, and all who wake then to the
    /// end of `ready`, first come first. Returns false, and the clock stays,
    /// when nobody sleeps.
    bool advance(WaitList& ready) {
        for (Bucket& bucket : buckets_) {
            if (removed_ > 0) drop_removed(bucket);
            if (bucket.empty()) continue;
            now_ =
                std::ranges::min_element(bucket, {}, &Entry::wake_at)->wake_at;
            for (const Entry& entry : bucket) {
                if (entry.wake_at == now_) {
                    ready.push_back(wake(entry));
                } else {
                    // Always into a bucket below this one
                    put(entry);
                    // It wakes sooner than most: let the processor fetch it
                    // while others run.
                    __builtin_prefetch(sleepers_[entry.slot]);
                }
            }
            bucket.clear();
            return true;
        }
        return false;
    }

private:
    struct Entry {
        Time wake_at;
        std::size_t slot;
    };
    using Bucket = std::vector<Entry>;

    void put(const Entry& entry) {
        const auto difference =
            static_cast<std::uint64_t>(entry.wake_at ^ now_);
        buckets_[std::bit_width(difference)].push_back(entry);
    }

    Sleeper& wake(const Entry& entry) noexcept {
        Sleeper& sleeper = *sleepers_[entry.slot];
        sleeper.slot = Sleeper::awake;
        free_slots_.push_back(entry.slot);
        return sleeper;
    }

    void drop_removed(Bucket& bucket) noexcept {
        std::erase_if(bucket, [this](const Entry& entry) {
            if (sleepers_[entry.slot] != nullptr) return false;
            free_slots_.push_back(entry.slot);
            --removed_;
            return true;
        });
    }

    Time now_ = 0;
    // For 0 to 63 bits: a Time is not negative
    std::array<Bucket, 64> buckets_;
    // By slot; nullptr: removed (a free slot's says nothing)
    std::vector<Sleeper*> sleepers_;
    std::vector<std::size_t> free_slots_;
    // Entries of nobody
    std::size_t removed_ = 0;
};

}  // namespace simulated
