// Step 07.6: many tasks at once, and three errors, each of which is reported.
#include <cstdio>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "chapters/07-simulated-clock/event.hpp"
#include "chapters/07-simulated-clock/event_loop.hpp"
#include "chapters/07-simulated-clock/task.hpp"
#include "chapters/07-simulated-clock/when_all.hpp"

namespace {

using simulated::Deadlock;
using simulated::Event;
using simulated::EventLoop;
using simulated::Task;
using simulated::Time;
using simulated::when_all;

/// Prints when its task ends, by finishing or by being cancelled.
struct Cook {
    Cook(EventLoop& in, std::string what) : loop(in), dish(std::move(what)) {}
    Cook(const Cook&) = delete;
    Cook& operator=(const Cook&) = delete;
    ~Cook() {
        std::printf("  %ld: %s is off the stove\n", long{loop.current_time()},
                    dish.c_str());
    }

    EventLoop& loop;
    std::string dish;
};

Task<std::string> cook(EventLoop& loop, std::string dish, Time duration) {
    const Cook cook(loop, dish);
    co_await loop.async_sleep(duration);
    if (dish == "fish") throw std::runtime_error("the fish has burnt");
    co_return dish;
}

Task<> dinner(EventLoop& loop, std::string main_dish) {
    std::vector<Task<std::string>> dishes;
    dishes.push_back(cook(loop, "soup", 30));
    dishes.push_back(cook(loop, std::move(main_dish), 20));
    dishes.push_back(cook(loop, "pudding", 50));
    const std::vector<std::string> ready = co_await when_all(std::move(dishes));
    std::printf("%ld: dinner is %s, %s, %s\n", long{loop.current_time()},
                ready[0].c_str(), ready[1].c_str(), ready[2].c_str());
}

Task<> polite(Event& the_other, Event& myself) {
    // After you!
    co_await the_other.wait();
    myself.set();
}

}  // namespace

int main() {
    // Keeps the output in order with what the loop prints on stderr.
    std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
    EventLoop loop;
    loop.add_task("good dinner", dinner(loop, "rice"));
    loop.run();
    loop.add_task("bad dinner", dinner(loop, "fish"));
    // The soup and the cake are cancelled. The loop reports the exception.
    loop.run();

    try {
        static_cast<void>(loop.async_sleep(-5));
    } catch (const std::invalid_argument& error) {
        std::printf("%s\n", error.what());
    }

    Event alice_goes(loop);
    Event bob_goes(loop);
    loop.add_task("Alice", polite(bob_goes, alice_goes));
    loop.add_task("Bob", polite(alice_goes, bob_goes));
    try {
        loop.run();
    } catch (const Deadlock& deadlock) {
        std::printf("%s\n", deadlock.what());
    }
}
