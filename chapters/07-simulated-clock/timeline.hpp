// A picture of when each task runs.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chapters/07-simulated-clock/sleep_queue.hpp"
#include "chapters/07-simulated-clock/text_width.hpp"

namespace simulated {

/// Records when each task ran, and draws it, 80 columns wide:
///
///     time   0                                                               2
///     Task1  1---------------------------------------------------------------1
///     Task2  1-------------------------------1
///
/// A digit is how often the task ran in that column (+: more than nine times).
/// A dash means that the task slept.
class Timeline {
public:
    // More rows than this are only counted.
    static constexpr std::size_t most_rows = 40;

    /// Adds a task. Tasks are numbered from 0.
    void add_task(std::string name) {
        ++tasks_;
        if (rows_.size() < most_rows) rows_.push_back({std::move(name), {}});
    }

    /// Records that the task with the number `task` runs at `time`, which must
    /// not be before the time of the previous call.
    void add_run(std::size_t task, Time time) {
        end_ = time;
        if (task < rows_.size()) rows_[task].runs.push_back(time);
    }

    [[nodiscard]] std::string draw() const {
        std::size_t name_width = std::string_view("time").size();
        for (const Row& row : rows_)
            name_width = std::max(name_width, width(row.name));
        name_width = std::min(name_width, widest_name);

        std::string picture =
            fitted("time", name_width) + scale(80 - name_width - gap) + "\n";
        for (const Row& row : rows_) {
            picture += fitted(row.name, name_width) +
                       line(row.runs, 80 - name_width - gap) + "\n";
        }
        if (tasks_ > rows_.size()) {
            picture += "... and " + std::to_string(tasks_ - rows_.size()) +
                       " more tasks\n";
        }
        return picture;
    }

private:
    struct Row {
        std::string name;
        std::vector<Time> runs;
    };

    static constexpr std::size_t widest_name = 20;
    // Columns between the names and the picture.
    static constexpr std::size_t gap = 2;

    /// Returns `text`, cut or padded to `columns` columns, and the gap.
    static std::string fitted(std::string_view text, std::size_t columns) {
        const std::string_view shown = cut_to(text, columns);
        return std::string(shown) +
               std::string(columns - width(shown) + gap, ' ');
    }

    [[nodiscard]] std::size_t column(Time time, std::size_t columns) const {
        if (end_ == 0) return 0;
        // A double has 53 bits: enough for 80 columns.
        const double share =
            static_cast<double>(time) / static_cast<double>(end_);
        return static_cast<std::size_t>(share *
                                        static_cast<double>(columns - 1));
    }

    /// Returns the first line: 0, the middle and the end.
    [[nodiscard]] std::string scale(std::size_t columns) const {
        std::string text(columns, ' ');
        text[0] = '0';
        if (end_ == 0) return "0";
        const std::string middle = std::to_string(end_ / 2);
        const std::string end = std::to_string(end_);
        if (end_ > 1)
            text.replace(column(end_ / 2, columns), middle.size(), middle);
        return text.replace(columns - end.size(), end.size(), end);
    }

    [[nodiscard]] std::string line(const std::vector<Time>& runs,
                                   std::size_t columns) const {
        if (runs.empty()) return "";
        std::string text(column(runs.back(), columns) + 1, '-');
        for (const Time time : runs) {
            char& shown = text[column(time, columns)];
            if (shown == '-') {
                shown = '1';
            } else {
                shown = shown == '9' || shown == '+'
                            ? '+'
                            : static_cast<char>(shown + 1);
            }
        }
        return text;
    }

    std::vector<Row> rows_;
    std::size_t tasks_ = 0;
    Time end_ = 0;
};

}  // namespace simulated
