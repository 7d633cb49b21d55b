// Records tasks on chapter 07's loop. Without an argument it is the chapter's example, with "plan"
// three tasks, some of which wake at the same time.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "chapters/07-simulated-clock/event_loop.hpp"
#include "chapters/07-simulated-clock/plan.hpp"
#include "chapters/07-simulated-clock/task.hpp"
#include "tests/book/record/recorder.hpp"

using record::Names;
using record::Panel;
using simulated::EventLoop;
using simulated::Plan;
using simulated::PlannedTask;
using simulated::Task;
using simulated::Time;

namespace {

/// Plays a plan, and keeps lists of the ready and the sleeping tasks beside the loop.
class Scene {
public:
    explicit Scene(Plan plan) : plan_(std::move(plan)) {
        recorder_.time = [this] { return std::to_string(time_); };
        recorder_.look = [this] { return panels(); };
    }

    void play(const char* title) {
        for (const PlannedTask& task : plan_) {
            ready_.add(task.name);
            loop_.add_task(task.name, run(task));
        }
        recorder_.next_turn();
        recorder_.begin("start", "add_task()", "All tasks are ready. None has started.");
        loop_.run();
        recorder_.begin("end", "run() returns", "No task is ready, and none sleeps.");
        recorder_.print(title);
    }

private:
    struct Sleeper {
        Time wake_at;
        std::string name;
    };

    Task<> run(const PlannedTask& task) {
        has_its_turn(task.name, "starts");
        for (const Time delay : task.delays) {
            const Time wake_at = loop_.current_time() + delay;
            recorder_.say("It sleeps for " + std::to_string(delay) + ", until " +
                          std::to_string(wake_at) + ".");
            sleepers_.push_back({wake_at, task.name});
            co_await loop_.async_sleep(delay);
            has_its_turn(task.name, "resumes");
        }
        recorder_.say("It has finished.");
    }

    void has_its_turn(const std::string& name, const std::string& how) {
        if (ready_.all().empty()) jump();
        recorder_.end_step();
        ready_.take_first(name);
        recorder_.begin("tasks", name + " " + how);
    }

    /// No task was ready, yet one runs: the loop has moved its clock.
    void jump() {
        recorder_.next_turn();
        const bool jumps = time_ != loop_.current_time();
        time_ = loop_.current_time();
        std::erase_if(sleepers_, [this](const Sleeper& sleeper) {
            if (sleeper.wake_at == time_) ready_.add(sleeper.name);
            return sleeper.wake_at == time_;
        });
        recorder_.begin(
            "clock",
            (jumps ? "the clock jumps to " : "the clock stays at ") + std::to_string(time_),
            "No task was ready. The tasks that wake now become ready, in the order of going "
            "to sleep.");
    }

    [[nodiscard]] std::vector<Panel> panels() const {
        std::vector<Sleeper> sleepers = sleepers_;
        std::ranges::stable_sort(sleepers, {}, &Sleeper::wake_at);
        std::vector<std::string> sleeping;
        for (const Sleeper& sleeper : sleepers) {
            sleeping.push_back(std::to_string(sleeper.wake_at) + ": " + sleeper.name);
        }
        return {{"ready_tasks", ready_.all()}, {"sleeping_tasks (wake time)", sleeping}};
    }

    Plan plan_;
    record::Recorder recorder_;
    EventLoop loop_;
    Time time_ = 0;
    Names ready_;
    std::vector<Sleeper> sleepers_;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc > 1 && std::string(argv[1]) == "plan") {
        Scene({{"ann", {2, 2}}, {"bob", {1, 3}}, {"carl", {0, 1, 4}}})
            .play("Chapter 07: three tasks that meet at 4");
    } else {
        Scene({{"Task1", {2}}, {"Task2", {1}}}).play("Chapter 07: the example");
    }
}
