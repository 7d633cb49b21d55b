// Wrong 08.4: a task that is never awaited. Calling a coroutine creates it, but
// does not start it.
#include "chapters/08-coroutine-loop/wrong/support.hpp"

namespace {

Task<> save(EventLoop& loop, int& saved) {
    co_await loop.async_sleep(1s);
    ++saved;
}

/// Task is [[nodiscard]]: as a statement of its own, the call would not compile
/// (-Werror). A variable silences the compiler, and the task is destroyed
/// before it has begun.
Task<> wrong(EventLoop& loop, int& saved) {
    [[maybe_unused]] const Task<> saving = save(loop, saved);
    co_return;
}

Task<> fixed(EventLoop& loop, int& saved) {
    // Either wait for it, or let the loop own it.
    co_await save(loop, saved);
    loop.spawn("save once more", save(loop, saved));
}

}  // namespace

int main(int argc, char** argv) {
    callbacks::SimulatedClock clock;
    EventLoop loop(clock);
    int saved = 0;
    const bool right = wants_fixed(argc, argv);
    loop.spawn("main", right ? fixed(loop, saved) : wrong(loop, saved));
    loop.run();
    std::printf("saved %d times\n", saved);
    return saved > 0 ? 0 : 1;
}
