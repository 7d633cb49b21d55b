// Two coroutines on chapter 08's loop, recorded: a socket between them, and a time-out.
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "chapters/08-coroutine-loop/combine.hpp"
#include "chapters/08-coroutine-loop/event_loop.hpp"
#include "chapters/08-coroutine-loop/socket.hpp"
#include "common/descriptor.hpp"
#include "common/error.hpp"
#include "tests/book/record/recorder.hpp"

using common::Descriptor;
using coroutines::Duration;
using coroutines::EventLoop;
using coroutines::Socket;
using coroutines::Task;
using record::Names;
using record::Panel;
using namespace std::chrono_literals;

namespace {

/// Stands in a list of names for as long as it lives. It lives in a coroutine's frame, so it shows
/// what becomes of the wait when that frame is destroyed.
class Waiting {
public:
    Waiting(Names& names, const std::string& name) : names_(names), place_(names.add(name)) {}
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    ~Waiting() { names_.remove(place_); }

private:
    Names& names_;
    Names::Place place_;
};

class Scene {
public:
    Scene() {
        recorder_.time = [this] { return record::milliseconds(clock_.now()); };
        recorder_.look = [this] {
            return std::vector<Panel>{{"Ready queue", starting_.all()},
                                      {"Timers", sleeping_.all()},
                                      {"Waiting for a descriptor", reading_.all()}};
        };
        clock_.before_the_kernel = [this](callbacks::TimePoint next) {
            recorder_.next_turn();
            recorder_.begin("kernel", "epoll_wait()");
            if (next == callbacks::no_wait) {
                recorder_.say(
                    "A task is ready already: it was spawned, or its time has come. The loop "
                    "only asks, and does not sleep.");
            }
            recorder_.end_step();
        };
    }

    void play() {
        std::array<int, 2> ends{};
        common::check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()),
                      "cannot make a socket pair");
        recorder_.begin("start", "spawn()", "Two tasks are spawned: both are ready to start.");
        starting_.add("server");
        starting_.add("ann");
        loop_.spawn("server", serve(Socket(loop_, Descriptor(ends[0]))));
        loop_.spawn("ann", talk(Socket(loop_, Descriptor(ends[1]))));
        loop_.run();
        recorder_.next_turn();
        recorder_.begin("end", "run() returns", "Both tasks are finished.");
        look_back();
        recorder_.print("Chapter 08: two coroutines, a socket, and a time-out that cancels");
    }

private:
    Task<> serve(Socket socket) {
        started("server");
        std::array<char, 100> buffer;
        while (true) {
            recorder_.say("It waits for ann's bytes, 1000 ms at most.");
            const auto result =
                co_await coroutines::when_any(read("server", socket, buffer), sleep("server", 1s));
            if (result.index() == 1) {
                resumed("server");
                recorder_.say(
                    "The time is over: when_any destroys the task that waits for bytes, "
                    "and with it its place among the waiting. Nothing is left to "
                    "clean up. The server closes its end.");
                co_return;
            }
            resumed("server");
            const std::size_t count = std::get<0>(result);
            recorder_.say("read() gave " + std::to_string(count) +
                          " bytes; the sleep that would have been the time-out is destroyed. "
                          "It writes them back.");
            co_await socket.write_all(std::string_view(buffer.data(), count));
        }
    }

    Task<> talk(Socket socket) {
        started("ann");
        std::array<char, 100> buffer;
        recorder_.say("She writes \"hello\" and waits for the echo.");
        co_await socket.write_all("hello\n");
        const std::size_t echoed = co_await read("ann", socket, buffer);
        resumed("ann");
        recorder_.say("The echo is there: " + std::to_string(echoed) +
                      " bytes. She thinks for 3000 ms: too long.");
        co_await sleep("ann", 3s);
        resumed("ann");
        recorder_.say("She wants to read.");
        const std::size_t count = co_await socket.read(buffer);
        recorder_.say("read() gives " + std::to_string(count) +
                      " at once: the other side has hung up. She is finished.");
    }

    Task<std::size_t> read(std::string reader, Socket& socket, std::span<char> buffer) {
        const Waiting waiting(reading_, reader + " waits for bytes");
        co_return co_await socket.read(buffer);
    }

    Task<> sleep(std::string sleeper, Duration delay) {
        const Waiting waiting(sleeping_,
                              record::milliseconds(loop_.now() + delay) + ": " + sleeper);
        co_await loop_.async_sleep(delay);
    }

    void started(const std::string& name) {
        recorder_.end_step();
        starting_.take_first(name);
        recorder_.begin("coroutines", name, "It starts.");
    }

    void resumed(const std::string& name) { recorder_.begin("coroutines", name, "It resumes."); }

    /// A coroutine that ran after the poll was in the ready queue until then. So what follows a
    /// poll tells what its answer was.
    void look_back() {
        std::vector<record::Step>& steps = recorder_.steps();
        std::vector<std::string> ready;
        for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
            if (step->phase != "coroutines" && step->phase != "kernel") continue;
            step->panels[0].items = ready;
            if (step->phase == "coroutines") {
                ready.insert(ready.begin(), step->what);
                continue;
            }
            // Woken sleepers leave the sleep queue before the poll.
            std::erase_if(step->panels[1].items, [&](const std::string& sleeper) {
                return sleeper.starts_with(step->time + ":");
            });
            for (const std::string& name : ready) {
                std::erase(step->panels[2].items, name + " waits for bytes");
            }
            const record::Step& next = *(step - 1);
            if (!ready.empty() && step->text.empty()) {
                step->text =
                    "An event came that is waited for: " + record::joined(ready) + " is ready.";
            } else if (ready.empty() && next.time == step->time) {
                step->text =
                    "An event came for which no task waits: sockets are registered once, for "
                    "everything. The socket remembers it, and no task is resumed.";
            } else if (ready.empty()) {
                step->text = "No task is ready: the loop sleeps until " + next.time + ".";
            }
            ready.clear();
        }
    }

    record::Clock clock_;
    record::Recorder recorder_;
    Names starting_;
    Names sleeping_;
    Names reading_;
    EventLoop loop_{clock_};
};

}  // namespace

int main() {
    Scene().play();
}
