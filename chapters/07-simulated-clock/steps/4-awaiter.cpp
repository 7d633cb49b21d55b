// Step 07.4: the awaiter replaces the signal.
//
// With a signal, the task tells the loop what it waits for, so the loop has to
// know every way of waiting. An awaiter reverses that: it gets the task's
// handle and is responsible for resuming the task. The loop only resumes
// handles.
#include <coroutine>
#include <cstdio>
#include <exception>
#include <functional>
#include <queue>
#include <tuple>
#include <vector>

namespace {

struct Task {
    struct promise_type {
        Task get_return_object() {
            return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_always initial_suspend() { return {}; }
        void return_void() {}
        void unhandled_exception() { std::terminate(); }
        // Does not suspend: the frame frees itself.
        std::suspend_never final_suspend() noexcept { return {}; }
    };
    std::coroutine_handle<> handle;
};

class EventLoop {
public:
    /// The awaiter of `co_await loop.async_sleep(2)`. The compiler calls its
    /// functions in this order:
    class Sleep {
    public:
        Sleep(EventLoop& loop, int delay) : loop_(loop), delay_(delay) {}

        /// 1. Is the result there already? No: suspend.
        [[nodiscard]] bool await_ready() const { return false; }
        /// 2. The task is suspended now. This is its handle: any code that has
        /// it can resume the task.
        void await_suspend(std::coroutine_handle<> task) const {
            loop_.sleeping_tasks_.emplace(loop_.current_time_ + delay_,
                                          loop_.next_order_++, task);
        }
        /// 3. The task was resumed. Returns the value of the co_await.
        [[nodiscard]] int await_resume() const { return loop_.current_time_; }

    private:
        EventLoop& loop_;
        int delay_;
    };

    Sleep async_sleep(int delay) { return {*this, delay}; }
    void add_task(Task task) {
        sleeping_tasks_.emplace(current_time_, next_order_++, task.handle);
    }
    [[nodiscard]] int current_time() const { return current_time_; }

    /// No signal to parse, and no case to forget.
    void run() {
        while (!sleeping_tasks_.empty()) {
            const auto [wake_time, order, task] = sleeping_tasks_.top();
            sleeping_tasks_.pop();
            current_time_ = wake_time;
            task.resume();
        }
    }

private:
    // Wake time, order of arrival, task.
    using Sleeper = std::tuple<int, int, std::coroutine_handle<>>;
    std::priority_queue<Sleeper, std::vector<Sleeper>, std::greater<>>
        sleeping_tasks_;
    int current_time_ = 0;
    int next_order_ = 0;
};

Task nap(EventLoop& loop, const char* name, int delay) {
    std::printf("%s started at %d\n", name, loop.current_time());
    const int now = co_await loop.async_sleep(delay);
    std::printf("%s resumed at %d\n", name, now);
}

}  // namespace

int main() {
    EventLoop loop;
    loop.add_task(nap(loop, "Task1", 2));
    loop.add_task(nap(loop, "Task2", 1));
    loop.run();
}
