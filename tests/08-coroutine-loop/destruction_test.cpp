// A task can be destroyed wherever it is suspended, and nothing is left of it. This tries every
// place.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chapters/08-coroutine-loop/accept_connect.hpp"
#include "chapters/08-coroutine-loop/socket.hpp"
#include "common/listener.hpp"
#include "tests/05-callback-loop/pair.hpp"
#include "tests/08-coroutine-loop/world.hpp"
#include "tests/support/test.hpp"

using common::Listener;
using coroutines::EventLoop;
using coroutines::Socket;
using coroutines::Task;
using coroutines::TaskHandle;
using coroutines::when_all;
using coroutines::when_any;
using coroutines::with_timeout;
using testing::Pair;
using testing::Trace;
using namespace std::chrono_literals;

namespace {

/// How the scenario is cut short.
enum class Cut { loop_destroyed, tasks_cancelled, exception };

/// Three tasks that wait in every way there is: a server and two clients, the second of which never
/// gets an answer. Each coroutine calls passed() after each of its waits; at the `cut_at`-th of
/// them the scenario is cut short.
class Scenario {
public:
    Scenario(Cut cut, int cut_at) : cut_(cut), cut_at_(cut_at) {
        const int small = 4096;
        ::setsockopt(pair_.ours.fd(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        ::setsockopt(pair_.theirs.fd(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    }

    /// Returns whether it was cut short, or came to its end before that.
    bool run() {
        std::vector<TaskHandle> tasks;
        tasks_ = &tasks;
        tasks.push_back(loop_.spawn("server", serve()));
        tasks.push_back(loop_.spawn("client", visit()));
        tasks.push_back(loop_.spawn("talk", talk()));
        loop_.run();
        if (cut_ != Cut::loop_destroyed || points_ < cut_at_) {
            CHECK(alive == 0);
            CHECK(loop_.waiting() == 0);
            CHECK(loop_.sleeping() == 0);
        }
        return points_ >= cut_at_;
    }

    static inline int alive = 0;  // frames

private:
    void passed() {
        if (++points_ != cut_at_) return;
        if (cut_ == Cut::exception) throw std::runtime_error("cut short");
        if (cut_ == Cut::loop_destroyed) loop_.stop();
        if (cut_ == Cut::tasks_cancelled) {
            for (auto& task : *tasks_) task.cancel();
        }
    }

    // accept, read, sleep, write
    Task<> serve() {
        const Trace trace(alive);
        Socket client = co_await accept(loop_, listener_);
        passed();
        std::array<char, 100> buffer;
        while (true) {
            const std::size_t count = co_await client.read(buffer);
            passed();
            if (count == 0) co_return;
            co_await loop_.async_sleep(10us);
            passed();
            co_await client.write_all(std::string_view(buffer.data(), count));
            passed();
        }
    }

    // connect with a timeout; three requests
    Task<> visit() {
        const Trace trace(alive);
        Socket server = co_await with_timeout(loop_, connect(loop_, listener_.port()), 1h);
        passed();
        std::array<char, 100> buffer;
        for (int i = 0; i < 3; ++i) {
            co_await server.write_all("hello");
            passed();
            co_await server.read(buffer);
            passed();
        }
    }

    // both directions of a connection that is too narrow, beside one on which nothing ever comes
    Task<> talk() {
        const Trace trace(alive);
        Socket one(loop_, std::move(pair_.ours));
        Socket other(loop_, std::move(pair_.theirs));
        const Pair silent;
        const auto winner = co_await when_any(hear_nothing(silent.ours.fd()), sleep_long(),
                                              talk_both_ways(one, other));
        CHECK(winner.index() == 2);
        passed();
    }

    Task<> talk_both_ways(Socket& one, Socket& other) {
        const Trace trace(alive);
        co_await when_all(say(one), hear(one), say(other), hear(other));
        passed();
    }

    Task<> say(Socket& socket) {
        const Trace trace(alive);
        const std::string data(size, 'x');
        co_await socket.write_all(data);
        passed();
    }

    Task<> hear(Socket& socket) {
        const Trace trace(alive);
        std::string buffer(10'000, '\0');
        for (std::size_t count = 0; count < size;) {
            count += co_await socket.read(buffer);
            passed();
        }
    }

    Task<> hear_nothing(int fd) {
        const Trace trace(alive);
        co_await loop_.until_readable(fd);
    }

    Task<> sleep_long() {
        const Trace trace(alive);
        co_await loop_.async_sleep(1h);
    }

    static constexpr std::size_t size = 50'000;

    Cut cut_;
    int cut_at_;
    int points_ = 0;
    std::vector<TaskHandle>* tasks_ = nullptr;
    Pair pair_;
    Listener listener_{0, Listener::Mode::non_blocking};
    EventLoop loop_{callbacks::steady_clock(),
                    [](const std::string&, const std::exception_ptr&) {}};
};

Task<> read(Socket& socket, std::span<char> buffer) {
    co_await socket.read(buffer);
}

std::ptrdiff_t open_descriptors() {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

void cut_everywhere(Cut cut) {
    const auto descriptors = open_descriptors();
    int points = 1;
    for (bool was_cut = true; was_cut; ++points) {
        CAPTURE(points);
        support::waiting_for("the end of a scenario cut short at point " + std::to_string(points));
        was_cut = Scenario(cut, points).run();
        REQUIRE_MESSAGE(Scenario::alive == 0, "the frames should be destroyed with their loop");
        REQUIRE(open_descriptors() == descriptors);
    }
    CHECK_MESSAGE(points > 30, "the scenario should pass more points than that");
}

}  // namespace

TEST_CASE("the loop is destroyed after every resumption") {
    cut_everywhere(Cut::loop_destroyed);
}

TEST_CASE("all tasks are cancelled after every resumption") {
    cut_everywhere(Cut::tasks_cancelled);
}

TEST_CASE("an exception after every resumption ends all tasks that depend on it") {
    cut_everywhere(Cut::exception);
}

TEST_CASE("the loop is destroyed at the beginning of every turn, when all tasks are ready") {
    for (int turns = 0; turns < 60; ++turns) {
        int alive = 0;
        {
            Pair pair;
            testing::World world;
            const auto stop_after = [](EventLoop& loop, int count) -> Task<> {
                for (int i = 0; i < count; ++i) co_await loop.async_sleep(0ms);
                loop.stop();
            };
            const auto pass_on = [](EventLoop& loop, Socket socket, bool first,
                                    int& count) -> Task<> {
                const Trace trace(count);
                std::array<char, 10> buffer{};
                if (first)
                    co_await socket.write_all(std::string_view(buffer.data(), buffer.size()));
                for (int i = 0; i < 10; ++i) {
                    const auto here =
                        co_await when_any(read(socket, buffer), coroutines::pass(loop, 1h));
                    if (here.index() != 0) co_return;
                    co_await loop.async_sleep(0ms);
                    co_await socket.write_all(std::string_view(buffer.data(), buffer.size()));
                }
            };
            world.loop.spawn("stop", stop_after(world.loop, turns));
            world.loop.spawn(
                "ping", pass_on(world.loop, Socket(world.loop, std::move(pair.ours)), true, alive));
            world.loop.spawn("pong", pass_on(world.loop, Socket(world.loop, std::move(pair.theirs)),
                                             false, alive));
            world.loop.run();
        }
        REQUIRE(alive == 0);
    }
}
