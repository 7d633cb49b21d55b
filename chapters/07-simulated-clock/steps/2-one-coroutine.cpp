// Step 07.2: the same function as a coroutine. The compiler writes the state
// machine.
//
// A function with co_await, co_yield or co_return in it is a coroutine. Calling
// it makes a frame on the heap: the arguments, the variables, the place, and a
// promise_type, through which the coroutine and its caller talk. (It has
// nothing to do with chapter 06's Promise but the name.)
#include <coroutine>
#include <cstdio>
#include <exception>

namespace {

/// What the caller gets. The compiler looks for Task::promise_type and calls
/// its functions.
struct Task {
    struct promise_type {
        // What the coroutine yielded last
        int delay = 0;

        /// Called first, before the body runs: makes what the caller gets.
        Task get_return_object() {
            return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        /// Before the body: stop. The caller decides when to start.
        std::suspend_always initial_suspend() { return {}; }
        /// `co_yield 2` is `co_await promise.yield_value(2)`: remember the 2,
        /// and stop.
        std::suspend_always yield_value(int value) {
            delay = value;
            return {};
        }
        void return_void() { delay = 0; }
        void unhandled_exception() { std::terminate(); }
        /// After the body: stop once more. If it did not, the frame would be
        /// gone, and done() below would read what is not there any more.
        std::suspend_always final_suspend() noexcept { return {}; }
    };

    // A pointer to the frame, no more: owns nothing
    std::coroutine_handle<promise_type> handle;
};

Task task1() {
    int naps = 0;
    std::puts("Task1 started");
    co_yield 2;
    ++naps;
    std::puts("Task1 resumed");
    co_yield 3;
    ++naps;
    std::printf("Task1 finished after %d naps\n", naps);
}

}  // namespace

int main() {
    // Nothing has run yet
    const Task task = task1();
    while (!task.handle.done()) {
        task.handle.resume();
        std::printf("    main is in control, Task1 wants to sleep for %d\n",
                    task.handle.promise().delay);
    }
    // The frame. Forgotten, it leaks; done twice, it crashes.
    task.handle.destroy();
}
