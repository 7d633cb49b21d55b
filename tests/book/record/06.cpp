// A chain of promises on chapter 05's loop, recorded: what is settled when, and which handler runs.
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "chapters/06-promises/io.hpp"
#include "chapters/06-promises/promise.hpp"
#include "common/descriptor.hpp"
#include "common/error.hpp"
#include "tests/book/record/recorder.hpp"

using common::Descriptor;
using promises::Io;
using promises::Promise;
using promises::Status;
using record::Panel;
using record::Watched;
using namespace std::chrono_literals;

namespace {

class Scene {
public:
    Scene() {
        recorder_.time = [this] { return record::milliseconds(clock_.now()); };
        recorder_.look = [this] { return panels(); };
        clock_.before_the_kernel = [this](callbacks::TimePoint next) {
            if (!std::exchange(in_timers_, false)) recorder_.next_turn();
            std::vector<Watched> watched;
            if (watching_) watched.push_back({"ann's socket", server_fd_});
            recorder_.begin("kernel", "epoll_wait()", record::kernels_answer(watched, next));
            recorder_.end_step();
            nothing_was_ready_ = watched.empty() || !watched.front().is_ready();
        };
    }

    void play() {
        std::array<int, 2> ends{};
        common::check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()),
                      "cannot make a socket pair");
        server_fd_ = ends[0];
        const Descriptor ann(ends[1]);
        promises::Socket socket(io_, Descriptor(ends[0]));
        std::array<char, 100> buffer;

        recorder_.begin("start", "the program",
                        "It builds a chain of promises. No handler has run.");
        watching_ = true;
        const auto read = named("read", socket.read_some(buffer));
        const auto replied = then("reply", "replied", read, [&](std::size_t count) {
            recorder_.say(
                "It got " + std::to_string(count) +
                " bytes. It returns a promise of its own, \"written\": \"replied\" adopts "
                "that, and stays pending.");
            const auto slept = named("slept", promises::sleep(io_, 100ms));
            timers_.emplace_back("150 ms: delay of the reply");
            return then("write", "written", slept, [&, count] {
                recorder_.say("The delay is over. It writes the bytes back.");
                return socket.write_all(std::span(buffer).first(count));
            });
        });
        const auto counted = then("count", "counted", replied, [&] {
            recorder_.say("It throws, which rejects \"counted\".");
            throw std::runtime_error("cannot count");
        });
        const auto published = then("publish", "published", counted, [] {});
        const auto on_error = [&](const std::exception_ptr& error) {
            begin_job("catch_error");
            recorder_.say("It gets the error, \"" + promises::message(error) +
                          R"(". Now it is handled, and "done" is fulfilled.)");
            socket.close();
            watching_ = false;
        };
        wait_for("catch_error", published, true);
        named("done", published.catch_error(on_error));

        timers_.emplace_back("50 ms: ann speaks");
        io_.loop.call_later(50ms, [&] {
            recorder_.end_step();
            timers_.pop_front();
            begin_callback("ann speaks", "She writes \"hello\" into her end.");
            common::check(static_cast<int>(::write(ann.fd(), "hello\n", 6)), "cannot write");
        });
        io_.loop.run();
        recorder_.next_turn();
        recorder_.begin("end", "run() returns",
                        "Every promise is settled, and no operation is under way.");
        recorder_.print("Chapter 06: a chain, an adoption, and an error that travels");
    }

private:
    /// A promise that is shown.
    struct Shown {
        std::string name;
        std::function<Status()> status;
        Status seen = Status::pending;
    };

    /// Stands in the queue behind a job that is running, to look at the job that comes next.
    struct Look : promises::Job {
        explicit Look(Scene& scene) : scene(scene) {}
        void run() override { scene.show_skipped_job(); }
        Scene& scene;
    };

    /// A handler that waits for its promise.
    struct Handler {
        std::string name;
        std::function<Status()> source;
        bool for_errors;
    };

    template <typename T>
    Promise<T> named(const std::string& name, const Promise<T>& promise) {
        shown_.push_back({name, [promise] { return promise.status(); }});
        return promise;
    }

    template <typename T>
    void wait_for(const std::string& job, const Promise<T>& source, bool for_errors) {
        handlers_.push_back({job, [source] { return source.status(); }, for_errors});
    }

    /// source.then(handler), with names for the handler and for the promise that this makes.
    template <typename T, typename F>
    Promise<void> then(const std::string& job, const std::string& result, const Promise<T>& source,
                       const F& handler) {
        wait_for(job, source, false);
        return named(result, source.then([=, this](const auto&... value) {
            begin_job(job);
            return handler(value...);
        }));
    }

    /// Moves the handlers of settled promises into the queue, as the promises do.
    void queue_handlers() {
        std::erase_if(handlers_, [this](const Handler& handler) {
            const bool settled = handler.source() != Status::pending;
            if (settled) {
                const bool runs = (handler.source() == Status::rejected) == handler.for_errors;
                jobs_.add(handler.name);
                skipped_.push_back(!runs);
            }
            return settled;
        });
    }

    void begin_job(const std::string& name) {
        show_settled();
        recorder_.end_step();
        queue_handlers();
        jobs_.take_first(name);
        skipped_.pop_front();
        recorder_.begin("jobs", name);
        io_.jobs.push(std::make_unique<Look>(*this));
    }

    /// If no descriptor was ready, the next callback is a timer's: a turn begins with the timers.
    void begin_callback(const std::string& name, const std::string& what) {
        if (std::exchange(nothing_was_ready_, false)) {
            recorder_.next_turn();
            in_timers_ = true;
        }
        // NOLINTNEXTLINE(readability-suspicious-call-argument): "what" it does is the text
        recorder_.begin(in_timers_ ? "timers" : "readiness", name, what);
    }

    /// A job without a handler for this outcome only passes it on.
    void show_skipped_job() {
        recorder_.end_step();
        queue_handlers();
        if (skipped_.empty() || !skipped_.front()) return;
        const std::string name = jobs_.all().front();
        begin_job(name);
        recorder_.say(
            "Its handler is for a value, and there is an error: it is skipped, and the "
            "error passes on.");
    }

    void show_settled() {
        std::string news;
        for (Shown& one : shown_) {
            if (one.status() != std::exchange(one.seen, one.status())) {
                news += (news.empty() ? "\"" : ", \"") + one.name + "\"";
                if (one.name == "slept") timers_.pop_front();
            }
        }
        if (news.empty()) return;
        recorder_.end_step();
        queue_handlers();
        begin_callback("a callback of the loop",
                       "It settles " + news + ". Its handler moves into the job queue.");
    }

    [[nodiscard]] std::vector<Panel> panels() {
        queue_handlers();
        std::vector<std::string> states;
        for (Shown& one : shown_) {
            one.seen = one.status();
            const char* state = "pending";
            if (one.seen == Status::fulfilled) state = "fulfilled";
            if (one.seen == Status::rejected) state = "rejected";
            states.push_back(one.name + ": " + state);
        }
        return {{"Promises", states},
                {"Promise jobs", jobs_.all()},
                {"Timers", {timers_.begin(), timers_.end()}},
                {"Watched descriptors", watching_ ? std::vector<std::string>{"ann's socket"}
                                                  : std::vector<std::string>{}}};
    }

    record::Clock clock_;
    record::Recorder recorder_;
    Io io_{clock_};
    std::vector<Shown> shown_;
    std::vector<Handler> handlers_;
    record::Names jobs_;
    std::deque<bool> skipped_;
    std::deque<std::string> timers_;
    int server_fd_ = -1;
    bool watching_ = false;
    bool nothing_was_ready_ = false;
    bool in_timers_ = false;
};

}  // namespace

int main() {
    Scene().play();
}
