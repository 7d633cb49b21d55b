// Wrong 08.6: a race without threads. State that was checked before a co_await
// has changed after it.
#include "chapters/08-coroutine-loop/mutex.hpp"
#include "chapters/08-coroutine-loop/wrong/support.hpp"

namespace {

using coroutines::Mutex;

struct Account {
    int money = 100;
};

Task<> ask_the_bank(EventLoop& loop) {
    co_await loop.async_sleep(1s);
}

Task<> wrong(EventLoop& loop, Account& account) {
    if (account.money < 80) co_return;
    // All other tasks run meanwhile.
    co_await ask_the_bank(loop);
    account.money -= 80;
}

/// Cure 1: check again. What was true before a co_await is only a memory after
/// it.
Task<> checks_again(EventLoop& loop, Account& account) {
    if (account.money < 80) co_return;
    co_await ask_the_bank(loop);
    if (account.money < 80) co_return;
    account.money -= 80;
}

/// Cure 2: an asynchronous mutex. A task that finds it locked waits in line,
/// without blocking the thread.
Task<> locks(EventLoop& loop, Account& account, Mutex& mutex) {
    const Mutex::Lock lock = co_await mutex.acquire();
    co_await wrong(loop, account);
    // ~Lock unlocks it, also after an exception or when the frame is destroyed.
}

}  // namespace

int main(int argc, char** argv) {
    callbacks::SimulatedClock clock;
    EventLoop loop(clock);
    Mutex mutex(loop);
    bool sound = true;
    const auto show = [&](const char* how, auto withdraw) {
        Account account;
        for (int i = 0; i < 2; ++i) loop.spawn("customer", withdraw(account));
        loop.run();
        std::printf("%-16s 100 minus two times 80, if there is enough: %d\n",
                    how, account.money);
        sound = sound && account.money >= 0;
    };
    if (wants_fixed(argc, argv)) {
        show("checked again:",
             [&](Account& account) { return checks_again(loop, account); });
        show("with a mutex:",
             [&](Account& account) { return locks(loop, account, mutex); });
    } else {
        show("wrong:", [&](Account& account) { return wrong(loop, account); });
    }
    return sound ? 0 : 1;
}
