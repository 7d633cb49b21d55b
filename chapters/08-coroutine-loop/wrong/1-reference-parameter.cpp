// Wrong 08.1: a reference parameter. The frame keeps the reference, not what it
// refers to.
#include <string>

#include "chapters/08-coroutine-loop/wrong/support.hpp"

namespace {

/// When it resumes, the caller's string is gone.
Task<> greet_wrong(EventLoop& loop, const std::string& name) {
    co_await loop.async_sleep(1s);
    std::printf("hello %s\n", name.c_str());
}

/// By value: parameters are copied (or moved) into the frame.
Task<> greet_fixed(EventLoop& loop, std::string name) {
    co_await loop.async_sleep(1s);
    std::printf("hello %s\n", name.c_str());
}

void greet(EventLoop& loop, bool fixed) {
    const std::string name =
        "a client with a name that does not fit into the small buffer";
    loop.spawn("greet",
               fixed ? greet_fixed(loop, name) : greet_wrong(loop, name));
}

}  // namespace

int main(int argc, char** argv) {
    callbacks::SimulatedClock clock;
    EventLoop loop(clock);
    greet(loop, wants_fixed(argc, argv));
    loop.run();
}
