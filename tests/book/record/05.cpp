// A conversation on chapter 05's loop, recorded: readers, timers, tasks.
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "chapters/05-callback-loop/event_loop.hpp"
#include "common/descriptor.hpp"
#include "common/error.hpp"
#include "tests/book/record/recorder.hpp"

using callbacks::Callback;
using callbacks::Duration;
using callbacks::EventLoop;
using callbacks::TimerHandle;
using common::Descriptor;
using record::Names;
using record::Panel;
using record::Watched;
using namespace std::chrono_literals;

namespace {

/// The loop, with a name for everything that is asked of it.
class NamedLoop {
public:
    NamedLoop() {
        recorder.time = [this] { return record::milliseconds(clock_.now()); };
        recorder.look = [this] { return panels(); };
        clock_.before_the_kernel = [this](callbacks::TimePoint next) {
            begin(Phase::kernel, "epoll_wait()");
            recorder.say(record::kernels_answer(watched_, next));
            recorder.end_step();
        };
    }

    void call_soon(const std::string& name, const Callback& task) {
        tasks_.add(name);
        loop_.call_soon([=, this] {
            recorder.end_step();
            tasks_.take_first(name);
            begin(Phase::tasks, name);
            task();
        });
    }

    TimerHandle call_later(const std::string& name, Duration delay, const Callback& callback) {
        const TimerHandle timer = loop_.call_later(delay, [=, this] {
            recorder.end_step();
            forget(name);
            begin(Phase::timers, name);
            callback();
        });
        timers_.emplace_back(timer, name);
        std::ranges::sort(timers_);
        return timer;
    }

    void cancel(const TimerHandle& timer) {
        loop_.cancel(timer);
        std::erase_if(timers_, [&](const auto& one) { return one.first == timer; });
    }

    void add_reader(const std::string& name, const Descriptor& socket, const Callback& callback) {
        watched_.push_back({name, socket.fd()});
        loop_.add_reader(socket.fd(), [=, this] {
            begin(Phase::readiness, name);
            callback();
        });
    }

    void remove_reader(const Descriptor& socket) {
        loop_.remove_reader(socket.fd());
        std::erase_if(watched_, [&](const Watched& one) { return one.fd == socket.fd(); });
    }

    void run() { loop_.run(); }

    record::Recorder recorder;

private:
    enum class Phase { timers, kernel, readiness, tasks };

    /// A turn goes through its phases in order: an earlier phase belongs to the next turn.
    void begin(Phase phase, const std::string& what) {
        static const std::array names{"timers", "kernel", "readiness", "tasks"};
        const bool again = phase < phase_ || (phase == Phase::kernel && phase_ == Phase::kernel);
        if (again || recorder.turn() == 0) recorder.next_turn();
        phase_ = phase;
        recorder.begin(names[static_cast<std::size_t>(phase)], what);
    }

    void forget(const std::string& name) {
        std::erase_if(timers_, [&](const auto& one) { return one.second == name; });
    }

    [[nodiscard]] std::vector<Panel> panels() const {
        std::vector<std::string> timers;
        for (const auto& [timer, name] : timers_) {
            timers.push_back(record::milliseconds(timer.due) + ": " + name);
        }
        std::vector<std::string> watched;
        for (const Watched& one : watched_) watched.push_back(one.name);
        return {{"Ready queue (tasks)", tasks_.all()},
                {"Timers", timers},
                {"Watched descriptors", watched}};
    }

    record::Clock clock_;
    EventLoop loop_{clock_};
    Phase phase_ = Phase::timers;
    Names tasks_;
    std::vector<std::pair<TimerHandle, std::string>> timers_;
    std::vector<Watched> watched_;
};

/// The server's side of one conversation, and its client Ann, on the same loop.
class Scene {
public:
    Scene() {
        std::array<int, 2> ends{};
        common::check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()),
                      "cannot make a socket pair");
        server_ = Descriptor(ends[0]);
        ann_ = Descriptor(ends[1]);
    }

    void play() {
        wait_for_request();
        loop_.call_soon("ann's first task", [this] {
            say("She queues another task: it runs in the next turn.");
            loop_.call_soon("ann speaks", [this] {
                say("She writes \"hello\" into her end of the connection.");
                send(ann_, "hello\n");
            });
        });
        loop_.add_reader("ann's end", ann_, [this] {
            say("The echo is there: " + std::to_string(receive(ann_)) +
                " bytes. Ann thinks for "
                "400 ms.");
            loop_.call_later("ann leaves", 400ms, [this] {
                say("She closes her end.");
                loop_.remove_reader(ann_);
                ann_.close();
            });
        });
        loop_.run();
        loop_.recorder.next_turn();
        loop_.recorder.begin("end", "run() returns", "No task, no timer, no watcher is left.");
        loop_.recorder.print("Chapter 05: one conversation, with a reply delay and a time-out");
    }

private:
    void wait_for_request() {
        loop_.add_reader("the server's end", server_, [this] { read_request(); });
        timeout_ = loop_.call_later("idle timeout of ann", 1s, [] {});
    }

    void read_request() {
        const std::size_t count = receive(server_);
        loop_.cancel(timeout_);
        loop_.remove_reader(server_);
        if (count == 0) {
            say("read() returns 0: Ann has left. Her idle timer is cancelled and her reader "
                "removed.");
            server_.close();
            return;
        }
        say("read() returns " + std::to_string(count) +
            ". The time-out is cancelled; the reply is "
            "due in 100 ms, and until then the server does not read from Ann.");
        loop_.call_later("reply to ann", 100ms, [this] {
            say("The reply is written. The server reads again, with a new time-out.");
            send(server_, "hello\n");
            wait_for_request();
        });
    }

    void say(const std::string& text) { loop_.recorder.say(text); }

    static void send(const Descriptor& socket, const std::string& text) {
        common::check(static_cast<int>(::write(socket.fd(), text.data(), text.size())),
                      "cannot write");
    }

    static std::size_t receive(const Descriptor& socket) {
        std::array<char, 100> buffer;
        const auto count = ::read(socket.fd(), buffer.data(), buffer.size());
        return static_cast<std::size_t>(common::check(static_cast<int>(count), "cannot read"));
    }

    NamedLoop loop_;
    Descriptor server_;
    Descriptor ann_;
    TimerHandle timeout_;
};

}  // namespace

int main() {
    Scene().play();
}
