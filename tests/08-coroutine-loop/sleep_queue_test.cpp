// The heap of sleepers, compared with a list that is sorted each time.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <random>
#include <utility>
#include <vector>

#include "chapters/08-coroutine-loop/sleep_queue.hpp"

using coroutines::Sleeper;
using coroutines::SleepQueue;
using coroutines::TimePoint;

TEST_CASE("sleepers come and go in any order, and wake in order of time and arrival") {
    std::mt19937 random(1);
    for (int round = 0; round < 200; ++round) {
        SleepQueue queue;
        std::deque<Sleeper> sleepers;
        std::vector<std::pair<TimePoint, Sleeper*>> model;  // in order of arrival
        const auto first = [&] {
            return std::ranges::min_element(model, {}, &std::pair<TimePoint, Sleeper*>::first);
        };
        for (int step = 0; step < 200; ++step) {
            const auto dice = random() % 10;
            if (model.empty() || dice < 5) {
                const TimePoint time{std::chrono::nanoseconds(random() % 50)};
                model.emplace_back(time, &sleepers.emplace_back());
                queue.push(sleepers.back(), time);
            } else if (dice < 8) {
                REQUIRE(queue.next_deadline() == first()->first);
                REQUIRE(&queue.pop() == first()->second);
                model.erase(first());
            } else {
                const auto any = model.begin() + static_cast<long>(random() % model.size());
                queue.remove(*any->second);
                queue.remove(*any->second);  // not there any more: does nothing
                model.erase(any);
            }
            REQUIRE(queue.size() == model.size());
        }
        while (!model.empty()) {
            REQUIRE(&queue.pop() == first()->second);
            model.erase(first());
        }
        CHECK(queue.empty());
    }
}
