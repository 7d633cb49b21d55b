// Wrong 08.5: one suspension, two resumptions. After the first the frame may be
// gone.
#include <coroutine>

#include "chapters/07-simulated-clock/wait_list.hpp"
#include "chapters/08-coroutine-loop/wrong/support.hpp"

namespace {

/// A bell that coroutines wait for. Wrong: it keeps the handle after the
/// coroutine has been resumed.
struct WrongBell {
    std::coroutine_handle<> waiting;

    auto operator co_await() {
        struct Awaiter : std::suspend_always {
            explicit Awaiter(WrongBell& the_bell) : bell(the_bell) {}
            void await_suspend(std::coroutine_handle<> handle) const {
                bell.waiting = handle;
            }
            WrongBell& bell;
        };
        return Awaiter(*this);
    }

    void ring() const { waiting.resume(); }
};

/// Right: a waiting coroutine is in a list, leaves it when it is resumed or
/// destroyed, and is resumed by the loop.
struct Bell {
    explicit Bell(EventLoop& the_loop) : loop(the_loop) {}

    auto operator co_await() {
        struct Awaiter : simulated::Waiter, std::suspend_always {
            explicit Awaiter(Bell& the_bell) : bell(the_bell) {}
            void await_suspend(std::coroutine_handle<> handle) {
                coroutine = handle;
                bell.waiting.push_back(*this);
            }
            Bell& bell;
        };
        return Awaiter(*this);
    }

    void ring() {
        while (!waiting.empty()) loop.schedule(waiting.pop_front());
    }

    EventLoop& loop;
    simulated::WaitList waiting;
};

template <typename AnyBell>
Task<> accept_visitors(AnyBell& bell) {
    co_await bell;
    std::puts("coming!");
}

template <typename AnyBell>
Task<> visit(EventLoop& loop, AnyBell& bell) {
    co_await loop.async_sleep(1s);
    bell.ring();
    // A visitor in a hurry
    bell.ring();
}

template <typename AnyBell>
void play(EventLoop& loop, AnyBell& bell) {
    loop.spawn("answer", accept_visitors(bell));
    loop.spawn("visit", visit(loop, bell));
    loop.run();
}

}  // namespace

int main(int argc, char** argv) {
    callbacks::SimulatedClock clock;
    EventLoop loop(clock);
    WrongBell wrong;
    Bell right(loop);
    wants_fixed(argc, argv) ? play(loop, right) : play(loop, wrong);
}
