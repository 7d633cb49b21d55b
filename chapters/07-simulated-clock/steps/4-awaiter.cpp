// Step 07.4: the awaiter replaces the signal.
//
// With a signal, the task tells the loop what it waits for, and the loop has to
// know every way of waiting. With an awaiter it is the other way round: what is
// waited for gets the task's handle, and sees to it that the task goes on. The
// loop only resumes.
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
        // The frame frees itself
        std::suspend_never final_suspend() noexcept { return {}; }
    };
    std::coroutine_handle<> handle;
};

class EventLoop {
public:
    /// What `co_await loop.async_sleep(2)` talks to. The compiler calls, in
    /// this order:
    class Sleep {
    public:
        Sleep(EventLoop& loop, int delay) : loop_(loop), delay_(delay) {}

        /// 1. Do we need to wait at all?
        [[nodiscard]] bool await_ready() const { return false; }
        /// 2. Yes. The task is suspended now; here is its handle: whoever has
        /// it can resume it.
        void await_suspend(std::coroutine_handle<> task) const {
            loop_.sleeping_tasks_.emplace(loop_.current_time_ + delay_,
                                          loop_.next_order_++, task);
        }
        /// 3. It has been resumed: this is the value of the co_await.
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

    /// No signal, no parsing, no case that was forgotten.
    void run() {
        while (!sleeping_tasks_.empty()) {
            const auto [wake_time, order, task] = sleeping_tasks_.top();
            sleeping_tasks_.pop();
            current_time_ = wake_time;
            task.resume();
        }
    }

private:
    // Wake time, order of arrival
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
