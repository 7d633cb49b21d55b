// Step 05.4: what a callback that blocks does to an event loop.
//
// The best-known event loop is the one behind a window: get an event, process
// it, again. Here the window is painted every 50 ms, and the user clicks on
// "save", which takes 300 ms. While that click is processed no other event is,
// and the window is frozen.
#include <chrono>
#include <cstdio>
#include <deque>
#include <future>
#include <string>
#include <thread>
#include <utility>

#include "chapters/05-callback-loop/event_loop.hpp"
#include "chapters/05-callback-loop/worker.hpp"

using callbacks::Duration;
using callbacks::EventLoop;
using callbacks::Worker;
using namespace std::chrono_literals;
using std::chrono::milliseconds;

namespace {

enum class Event { paint, click, close };

/// Returns the events of the window and their times, in order.
std::deque<std::pair<milliseconds, Event>> script() {
    std::deque<std::pair<milliseconds, Event>> events;
    for (milliseconds time = 0ms; time < 700ms; time += 50ms) {
        events.emplace_back(time, Event::paint);
        if (time == 100ms) events.emplace_back(120ms, Event::click);
    }
    events.emplace_back(700ms, Event::close);
    return events;
}

void save() {
    // This stands for a slow disk.
    std::this_thread::sleep_for(300ms);
}

/// Remembers when it was painted.
class Window {
public:
    void paint() {
        const auto now = std::chrono::steady_clock::now() - start_;
        const auto column = static_cast<std::size_t>(now / 12500us);
        if (column < picture_.size()) picture_[column] = '#';
    }
    void show(const char* title) const {
        std::printf("%-13s%s\n", title, picture_.c_str());
    }
    [[nodiscard]] callbacks::TimePoint start() const { return start_; }

private:
    callbacks::TimePoint start_ = std::chrono::steady_clock::now();
    // A column stands for 12.5 ms.
    std::string picture_ = std::string(56, '.');
};

}  // namespace

int main() {
    {
        Window window;
        auto events = script();
        // Sleeps until the time of the next event.
        const auto get_event = [&] {
            const auto [time, event] = events.front();
            events.pop_front();
            std::this_thread::sleep_until(window.start() + time);
            return event;
        };
        const auto process_event = [&](Event event) {
            if (event == Event::paint) window.paint();
            if (event == Event::click) save();
        };
        Event event{};
        do {
            event = get_event();
            process_event(event);
        } while (event != Event::close);
        window.show("message loop");
    }
    for (const bool with_worker : {false, true}) {
        EventLoop loop;
        Worker worker(loop);
        loop.report_slow_callbacks(100ms, [](Duration held_up) {
            const auto time = std::chrono::duration_cast<milliseconds>(held_up);
            std::printf("a callback held the loop for %lld ms\n",
                        static_cast<long long>(time.count()));
        });
        Window window;
        for (const auto& [time, event] : script()) {
            if (event == Event::paint)
                loop.call_at(window.start() + time, [&] { window.paint(); });
            if (event != Event::click) continue;
            loop.call_at(window.start() + time, [&] {
                if (with_worker) {
                    worker.run(save, [](const std::future<void>&) {
                        std::printf("saved\n");
                    });
                } else {
                    save();
                }
            });
        }
        loop.run();
        window.show(with_worker ? "worker" : "event loop");
    }
}
