// Wrong 08.3: a temporary that dies at the end of its statement, before the
// task that refers to it has even started.
#include <string>
#include <string_view>
#include <utility>

#include "chapters/08-coroutine-loop/wrong/support.hpp"

namespace {

std::string make_name() {
    return "a string that is too long for the small buffer inside a "
           "std::string";
}

/// A string_view is a reference that does not look like one.
Task<> greet(EventLoop& loop, std::string_view name) {
    co_await loop.async_sleep(1s);
    std::printf("hello %s\n", std::string(name).c_str());
}

/// The string dies at the end of the first statement, the task starts in the
/// second.
Task<> wrong(EventLoop& loop) {
    Task<> greeting = greet(loop, make_name());
    co_await std::move(greeting);
}

/// Awaited in one expression: temporaries live until its end, and by then the
/// task is done.
Task<> fixed(EventLoop& loop) {
    co_await greet(loop, make_name());
}

}  // namespace

int main(int argc, char** argv) {
    callbacks::SimulatedClock clock;
    EventLoop loop(clock);
    loop.spawn("main", wants_fixed(argc, argv) ? fixed(loop) : wrong(loop));
    loop.run();
}
