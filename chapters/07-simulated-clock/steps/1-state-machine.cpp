// Step 07.1: a function that can suspend itself, written by hand.
//
// If a function could sleep without blocking the thread, Task1 would be:
//
//     print("Task1 started");
//     sleep(2);
//     print("Task1 resumed");
//     sleep(3);
//     print("Task1 finished");
//
// A function loses its variables and its position when it returns. So both move
// into an object, and the code between two sleeps becomes one case of a switch.
#include <cstdio>

namespace {

class Task1 {
public:
    enum class State {
        at_start,
        after_first_sleep,
        after_second_sleep,
        finished
    };

    /// Runs from where it stopped up to the next sleep. Returns the length of
    /// that sleep (0 at the end).
    int resume() {
        switch (state_) {
            case State::at_start:
                std::puts("Task1 started");
                state_ = State::after_first_sleep;
                return 2;
            case State::after_first_sleep:
                ++naps_;
                std::puts("Task1 resumed");
                state_ = State::after_second_sleep;
                return 3;
            case State::after_second_sleep:
                ++naps_;
                std::printf("Task1 finished after %d naps\n", naps_);
                state_ = State::finished;
                return 0;
            case State::finished:
                return 0;
        }
        return 0;
    }

    [[nodiscard]] bool done() const { return state_ == State::finished; }

private:
    // Where to go on.
    State state_ = State::at_start;
    // A variable that is needed after a sleep.
    int naps_ = 0;
};

}  // namespace

int main() {
    // Nothing has run yet.
    Task1 task;
    while (!task.done()) {
        const int delay = task.resume();
        std::printf("    main is in control, Task1 wants to sleep for %d\n",
                    delay);
    }
    std::printf("All of Task1 fits into %zu bytes.\n", sizeof task);
}
