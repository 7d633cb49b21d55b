// The simulated clock and the coroutines that sleep by it.
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

/// A waiter that can sleep. `slot` is its index in the SleepQueue.
struct Sleeper : Waiter {
    static constexpr std::size_t awake = SIZE_MAX;
    std::size_t slot = awake;
};

/// A simulated clock and its sleepers, by wake time.
///
/// A std::map from wake time to sleepers would do. As the clock never goes
/// back, a radix heap does it faster (Ahuja, Mehlhorn, Orlin, Tarjan, 1990). A
/// wake time goes into the bucket numbered by the highest bit in which it
/// differs from the current time. Bucket 0 holds "now", and every entry in a
/// lower bucket is due before any entry in a higher one.
///
/// When the lower buckets are empty, the first one that is not is
/// redistributed: its earliest time becomes the current time, and the other
/// entries differ from that in a lower bit than before. So an entry moves at
/// most once for each bit of a Time, however many sleepers there are. Entries
/// with the same wake time are always in the same bucket, in the order of their
/// arrival.
class SleepQueue {
public:
    /// Returns the time on the clock, which starts at 0.
    [[nodiscard]] Time now() const { return now_; }

    /// Adds `sleeper` until `wake_at`, which must not be before now(). It is
    /// not owned, and must be removed before it is destroyed. Throws
    /// std::bad_alloc.
    void push(Sleeper& sleeper, Time wake_at) {
        if (free_slots_.empty()) {
            sleepers_.push_back(nullptr);
            // So that returning a slot cannot fail.
            free_slots_.reserve(sleepers_.capacity());
            free_slots_.push_back(sleepers_.size() - 1);
        }
        const std::size_t slot = free_slots_.back();
        put({wake_at, slot});
        free_slots_.pop_back();
        sleepers_[slot] = &sleeper;
        sleeper.slot = slot;
    }

    /// Removes `sleeper`, which is asleep here. Its entry stays in the bucket
    /// as a tombstone. The tombstones are removed when there are too many.
    void remove(Sleeper& sleeper) noexcept {
        sleepers_[sleeper.slot] = nullptr;
        sleeper.slot = Sleeper::awake;
        if (++tombstones_ > sleepers_.size() / 2) {
            for (Bucket& bucket : buckets_) drop_tombstones(bucket);
        }
    }

    /// Moves the clock to the earliest wake time. The sleepers that are due
    /// then go to the end of `ready`, first come, first served. Returns false,
    /// and leaves the clock alone, if there are no sleepers.
    bool advance(WaitList& ready) {
        for (Bucket& bucket : buckets_) {
            if (tombstones_ > 0) drop_tombstones(bucket);
            if (bucket.empty()) continue;
            now_ =
                std::ranges::min_element(bucket, {}, &Entry::wake_at)->wake_at;
            for (const Entry& entry : bucket) {
                if (entry.wake_at == now_) {
                    ready.push_back(wake(entry));
                } else {
                    // Always into a lower bucket than this one.
                    put(entry);
                    // It is due soon: the processor can fetch it while other
                    // tasks run.
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

    void drop_tombstones(Bucket& bucket) noexcept {
        std::erase_if(bucket, [this](const Entry& entry) {
            if (sleepers_[entry.slot] != nullptr) return false;
            free_slots_.push_back(entry.slot);
            --tombstones_;
            return true;
        });
    }

    Time now_ = 0;
    // One for each number of differing bits, 0 to 63: a Time is never negative.
    std::array<Bucket, 64> buckets_;
    // Indexed by slot. nullptr: the entry is a tombstone. (Free slots are
    // unspecified.)
    std::vector<Sleeper*> sleepers_;
    std::vector<std::size_t> free_slots_;
    std::size_t tombstones_ = 0;
};

}  // namespace simulated
