// Wrong 08.2: a lambda that captures. Its captures live in the lambda, not in
// the frame.
#include <string>

#include "chapters/08-coroutine-loop/wrong/support.hpp"

namespace {

const std::string answer =
    "forty-two, and that is all there is to be said about it";

/// The task lives on when this function returns, the lambda does not.
void start_wrong(EventLoop& loop) {
    const auto tell = [&loop, text = answer]() -> Task<> {
        co_await loop.async_sleep(1s);
        // `text` is a member of the lambda. Where is the lambda now?
        std::printf("the answer is %s\n", text.c_str());
    };
    loop.spawn("tell", tell());
}

/// Without captures: what the coroutine needs comes as parameters, which are in
/// the frame.
void start_fixed(EventLoop& loop) {
    const auto tell = [](EventLoop& the_loop, std::string text) -> Task<> {
        co_await the_loop.async_sleep(1s);
        std::printf("the answer is %s\n", text.c_str());
    };
    loop.spawn("tell", tell(loop, answer));
}

}  // namespace

int main(int argc, char** argv) {
    callbacks::SimulatedClock clock;
    EventLoop loop(clock);
    wants_fixed(argc, argv) ? start_fixed(loop) : start_wrong(loop);
    loop.run();
}
