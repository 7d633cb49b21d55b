// Chapter 07: a coroutine is a function that can suspend itself.
//
// Tasks sleep on a simulated clock that jumps. There is no kernel and no real
// time, and every run prints the same.
#include <cstddef>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "chapters/07-simulated-clock/event_loop.hpp"
#include "chapters/07-simulated-clock/plan.hpp"
#include "chapters/07-simulated-clock/task.hpp"
#include "chapters/07-simulated-clock/timeline.hpp"
#include "common/command_line.hpp"

namespace {

using simulated::EventLoop;
using simulated::Plan;
using simulated::PlannedTask;
using simulated::Task;
using simulated::Time;
using simulated::Timeline;

enum class Show { lines, timeline, summary };

/// Records what the tasks do, and shows it.
class Report {
public:
    explicit Report(Show show) : show_(show) {}

    void add_task(const std::string& name) {
        ++tasks_;
        if (show_ == Show::timeline) timeline_.add_task(name);
    }

    void started(std::size_t task, const std::string& name, Time time) {
        ran(task, name, "started", time);
    }

    void resumed(std::size_t task, const std::string& name, Time time) {
        ++wake_ups_;
        ran(task, name, "resumed", time);
    }

    void finish(Time time) const {
        if (show_ == Show::timeline)
            std::fputs(timeline_.draw().c_str(), stdout);
        if (show_ == Show::summary) {
            std::printf("%zu tasks, %zu wake-ups, clock at %lld\n", tasks_,
                        wake_ups_, static_cast<long long>(time));
        }
        common::flush_stdout();
    }

private:
    void ran(std::size_t task, const std::string& name, const char* how,
             Time time) {
        if (show_ == Show::timeline) timeline_.add_run(task, time);
        if (show_ == Show::lines) {
            std::printf("%s %s at %lld\n", name.c_str(), how,
                        static_cast<long long>(time));
        }
    }

    Show show_;
    Timeline timeline_;
    std::size_t tasks_ = 0;
    std::size_t wake_ups_ = 0;
};

/// Task number `number` of the plan. All arguments must outlive it.
Task<> run_task(EventLoop& loop, Report& report, const Plan& plan,
                std::size_t number) {
    const PlannedTask& planned = plan[number];
    report.started(number, planned.name, loop.current_time());
    for (const Time delay : planned.delays) {
        co_await loop.async_sleep(delay);
        report.resumed(number, planned.name, loop.current_time());
    }
}

int run(const Plan& plan, Show show) {
    Report report(show);
    EventLoop loop;
    for (std::size_t number = 0; number < plan.size(); ++number) {
        report.add_task(plan[number].name);
        loop.add_task(plan[number].name, run_task(loop, report, plan, number));
    }
    loop.run();
    report.finish(loop.current_time());
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    std::optional<std::string> path;
    Show show = Show::lines;
    return common::run_program(
        argc, argv, "07-simulated-clock",
        "Runs tasks that sleep on a clock that jumps: the example, or those of "
        "a plan.",
        {{"PLAN", "", "a file; each line is NAME: d1 d2 d3 (-: stdin)",
          [&](std::string_view value) { path = std::string(value); }},
         {"--quiet", "", "print only a summary",
          [&](std::string_view) { show = Show::summary; }},
         {"--timeline", "", "draw when each task runs",
          [&](std::string_view) { show = Show::timeline; }}},
        [&] {
            const Plan example{{"Task1", {2}}, {"Task2", {1}}};
            return run(path ? simulated::read_plan(*path) : example, show);
        });
}
