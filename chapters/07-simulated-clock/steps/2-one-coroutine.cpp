// Step 07.2: the same function as a coroutine. The compiler writes the state
// machine.
//
// A function with co_await, co_yield or co_return in its body is a coroutine.
// Calling it creates a frame on the heap. The frame holds the arguments, the
// variables, the position, and a promise_type, through which the coroutine and
// its caller communicate. (Chapter 06's Promise only has a similar name.)
#include <coroutine>
#include <cstdio>
#include <exception>

namespace {

/// What the caller gets. The compiler looks up Task::promise_type and calls its
/// functions.
struct Task {
    struct promise_type {
        // The value that was yielded last.
        int delay = 0;

        /// Called first, before the body: makes the object the caller gets.
        Task get_return_object() {
            return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        /// Before the body: suspend. The caller decides when to start it.
        std::suspend_always initial_suspend() { return {}; }
        /// `co_yield 2` means `co_await promise.yield_value(2)`: store the 2
        /// and suspend.
        std::suspend_always yield_value(int value) {
            delay = value;
            return {};
        }
        void return_void() { delay = 0; }
        void unhandled_exception() { std::terminate(); }
        /// After the body: suspend once more. Otherwise the frame would be
        /// freed here, and done() below would read freed memory.
        std::suspend_always final_suspend() noexcept { return {}; }
    };

    // Only a pointer to the frame: it owns nothing.
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
    // Nothing has run yet.
    const Task task = task1();
    while (!task.handle.done()) {
        task.handle.resume();
        std::printf("    main is in control, Task1 wants to sleep for %d\n",
                    task.handle.promise().delay);
    }
    // Without this line the frame leaks. A second call would be undefined.
    task.handle.destroy();
}
