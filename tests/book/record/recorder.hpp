// Writes down what a loop does, step by step, for the stepper on the pages of the book.
#pragma once

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <list>
#include <string>
#include <utility>
#include <vector>

#include "chapters/05-callback-loop/clock.hpp"

namespace record {

/// One list beside the text: the ready queue, the timers that are set...
struct Panel {
    std::string title;
    std::vector<std::string> items;
};

/// One thing that the loop did, and how everything stood afterwards.
struct Step {
    int turn;
    std::string phase;
    std::string time;
    std::string what;  // the name of the callback or coroutine
    std::string text;  // what it did
    std::vector<Panel> panels;
};

/// Collects steps. Each is open until the next one begins: then `look` says how everything stands.
class Recorder {
public:
    std::function<std::string()> time;
    std::function<std::vector<Panel>()> look;

    void next_turn() {
        end_step();
        ++turn_;
    }

    [[nodiscard]] int turn() const { return turn_; }

    void begin(std::string phase, std::string what, std::string text = "") {
        end_step();
        steps_.push_back({turn_, std::move(phase), time(), std::move(what), std::move(text), {}});
        open_ = true;
    }

    /// Adds a sentence to the last step.
    void say(const std::string& text) {
        std::string& all = steps_.back().text;
        all += (all.empty() ? "" : " ") + text;
    }

    void end_step() {
        if (!open_) return;
        steps_.back().panels = look();
        open_ = false;
    }

    std::vector<Step>& steps() {
        end_step();
        return steps_;
    }

    /// Prints all of it as JSON.
    void print(const char* title) {
        std::printf("{\n \"title\": %s,\n \"steps\": [", quoted(title).c_str());
        const char* comma = "";
        for (const Step& step : steps()) {
            std::printf("%s\n  {\"turn\": %d, \"phase\": %s, \"time\": %s, \"what\": %s", comma,
                        step.turn, quoted(step.phase).c_str(), quoted(step.time).c_str(),
                        quoted(step.what).c_str());
            std::printf(",\n   \"text\": %s", quoted(step.text).c_str());
            std::printf(",\n   \"panels\": [");
            const char* between = "";
            for (const Panel& panel : step.panels) {
                std::printf("%s\n    {\"title\": %s, \"items\": [", between,
                            quoted(panel.title).c_str());
                const char* next = "";
                for (const std::string& item : panel.items) {
                    std::printf("%s%s", next, quoted(item).c_str());
                    next = ", ";
                }
                std::printf("]}");
                between = ",";
            }
            std::printf("]}");
            comma = ",";
        }
        std::printf("\n ]\n}\n");
    }

private:
    static std::string quoted(const std::string& text) {
        std::string result = "\"";
        for (const char c : text) {
            if (c == '"' || c == '\\') result += '\\';
            result += c;
        }
        return result + '"';
    }

    std::vector<Step> steps_;
    int turn_ = 0;
    bool open_ = false;
};

/// Names in the order in which they came. What is in one of these lists waits for something.
class Names {
public:
    using Place = std::list<std::string>::iterator;
    Place add(std::string name) { return names_.insert(names_.end(), std::move(name)); }
    void remove(Place place) { names_.erase(place); }
    [[nodiscard]] std::vector<std::string> all() const { return {names_.begin(), names_.end()}; }

    /// The first one has its turn. It has to be `name`, or these lists do not show what happens.
    void take_first(const std::string& name) {
        if (names_.empty() || names_.front() != name) {
            std::fprintf(stderr, "the first one is not \"%s\"\n", name.c_str());
            std::exit(1);
        }
        names_.pop_front();
    }

private:
    std::list<std::string> names_;
};

inline std::string milliseconds(callbacks::TimePoint time) {
    const auto since_start = time - callbacks::TimePoint();
    return std::to_string(
               std::chrono::duration_cast<std::chrono::milliseconds>(since_start).count()) +
           " ms";
}

/// A descriptor that is watched.
struct Watched {
    std::string name;
    int fd;
    short events = POLLIN;

    /// What epoll would say: the descriptor is looked at, and nothing is changed.
    [[nodiscard]] bool is_ready() const {
        pollfd question{fd, events, 0};
        return ::poll(&question, 1, 0) == 1;
    }
};

inline std::string joined(const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
    return text;
}

/// The simulated clock of chapter 05. A loop asks its clock how long it may sleep exactly once a
/// turn, just before it asks the kernel: this is how we know without changing the loop.
class Clock : public callbacks::SimulatedClock {
public:
    std::function<void(callbacks::TimePoint next)> before_the_kernel;

    [[nodiscard]] std::chrono::milliseconds poll_timeout(callbacks::TimePoint next) const override {
        before_the_kernel(next);
        return SimulatedClock::poll_timeout(next);
    }
};

/// The text of a step in which the kernel is asked.
inline std::string kernels_answer(const std::vector<Watched>& watched, callbacks::TimePoint next) {
    std::vector<std::string> ready;
    for (const Watched& one : watched) {
        if (one.is_ready()) ready.push_back(one.name);
    }
    if (!ready.empty()) return "The kernel reports as ready: " + joined(ready) + ".";
    if (next == callbacks::no_wait) {
        return "Nothing is ready. The loop does not sleep: a task is queued, or nothing is left to "
               "wait "
               "for.";
    }
    return "Nothing is ready and no task is queued: the loop sleeps until " + milliseconds(next) +
           ".";
}

}  // namespace record
