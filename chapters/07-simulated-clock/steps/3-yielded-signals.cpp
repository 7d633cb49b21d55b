// Step 07.3: many tasks, a clock, and signals.
//
// A task yields a request, "sleep 2". The loop reads it and resumes the task at
// the right time. This is how generators became coroutines in Python, and
// main() shows its weaknesses.
#include <coroutine>
#include <cstdio>
#include <deque>
#include <exception>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace {

struct Task {
    struct promise_type {
        std::string signal;
        Task get_return_object() {
            return {std::coroutine_handle<promise_type>::from_promise(*this)};
        }
        std::suspend_always initial_suspend() { return {}; }
        std::suspend_always yield_value(std::string value) {
            signal = std::move(value);
            return {};
        }
        void return_void() { signal.clear(); }
        void unhandled_exception() { std::terminate(); }
        std::suspend_always final_suspend() noexcept { return {}; }
    };
    std::coroutine_handle<promise_type> handle;
};

std::string async_sleep(int delay) {
    return "sleep " + std::to_string(delay);
}

class EventLoop {
public:
    void add_task(Task task) { ready_tasks_.push_back(task); }
    [[nodiscard]] int current_time() const { return current_time_; }

    void run() {
        while (!ready_tasks_.empty() || !sleeping_tasks_.empty()) {
            while (!ready_tasks_.empty()) {
                const Task task = ready_tasks_.front();
                ready_tasks_.pop_front();
                task.handle.resume();
                const std::string& signal = task.handle.promise().signal;
                if (signal.starts_with("sleep ")) {
                    sleeping_tasks_[current_time_ + std::stoi(signal.substr(6))]
                        .push_back(task);
                } else if (task.handle.done()) {
                    task.handle.destroy();
                }
                // else: a signal that the loop does not know. The task will
                // never be resumed.
            }
            if (sleeping_tasks_.empty()) return;
            const auto earliest = sleeping_tasks_.begin();
            current_time_ = earliest->first;
            ready_tasks_.insert(ready_tasks_.end(), earliest->second.begin(),
                                earliest->second.end());
            sleeping_tasks_.erase(earliest);
        }
    }

private:
    std::deque<Task> ready_tasks_;
    // Wake time -> tasks.
    std::map<int, std::vector<Task>> sleeping_tasks_;
    int current_time_ = 0;
};

Task nap(const EventLoop& loop, const char* name, std::string signal) {
    std::printf("%s started at %d\n", name, loop.current_time());
    co_yield signal;
    std::printf("%s resumed at %d\n", name, loop.current_time());
}

}  // namespace

int main() {
    EventLoop loop;
    loop.add_task(nap(loop, "Task1", async_sleep(2)));
    loop.add_task(nap(loop, "Task2", async_sleep(1)));
    loop.run();
    std::puts("-- a delay of -5, and a signal with a typo");
    loop.add_task(nap(loop, "Task3", async_sleep(-5)));
    loop.add_task(nap(loop, "Task4", "slep 1"));
    loop.run();
    std::puts("-- the clock went back, and Task4 is lost without an error");
}
