// Exercise 05.4: a descriptor number that is used again. On a loop that the test drives by hand,
// with real sockets.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "chapters/05-callback-loop/event_loop.hpp"
#include "chapters/05-callback-loop/exercises/greeter.hpp"
#include "tests/support/socket_pair.hpp"
#include "tests/support/test.hpp"

template class callbacks::Greeter<callbacks::EventLoop>;  // a server would use this loop

namespace {

using callbacks::Callback;
using callbacks::Duration;
using callbacks::TimerHandle;
using support::quoted;
using support::SocketPair;
using namespace std::chrono_literals;

/// Stands in for the loop: nothing happens on it until the test says so.
class LoopByHand {
public:
    TimerHandle call_later(Duration delay, Callback callback) {
        waiting_.emplace_back(TimerHandle{now_ + delay, ++last_id_}, std::move(callback));
        return waiting_.back().first;
    }
    bool cancel(const TimerHandle& timer) {
        return std::erase_if(waiting_, [&](const auto& entry) { return entry.first == timer; }) > 0;
    }
    void add_reader(int fd, Callback callback) { readers_[fd] = std::move(callback); }
    bool remove_reader(int fd) { return readers_.erase(fd) > 0; }

    /// Lets time pass, and calls the timers that are due.
    void pass(Duration time) {
        now_ += time;
        while (true) {
            const auto next = std::ranges::find_if(
                waiting_, [this](const auto& entry) { return entry.first.due <= now_; });
            if (next == waiting_.end()) return;
            const Callback callback = std::move(next->second);
            waiting_.erase(next);
            callback();
        }
    }

    /// Calls the reader of `fd`, as if there were something to read.
    void readable(int fd) {
        const Callback reader = readers_.at(fd);  // a copy: it may remove itself
        reader();
    }

    [[nodiscard]] std::size_t timers() const { return waiting_.size(); }
    [[nodiscard]] std::size_t readers() const { return readers_.size(); }

private:
    callbacks::TimePoint now_;
    std::uint64_t last_id_ = 0;
    std::vector<std::pair<TimerHandle, Callback>> waiting_;
    std::map<int, Callback> readers_;
};

/// A client that has connected, and has two seconds to send a name. A destroyed greeter leaves its
/// memory as it was, so that a late call does the same thing every time.
class Client {
public:
    explicit Client(LoopByHand& loop) : fd_(socket_.ours.fd()) {
        greeter_.emplace(loop, std::move(socket_.ours), 2s, [this] { greeter_.reset(); });
    }

    [[nodiscard]] int fd() const { return fd_; }
    [[nodiscard]] bool is_served() const { return greeter_.has_value(); }
    [[nodiscard]] std::string heard() const { return socket_.heard(); }
    void say(const std::string& text) const { socket_.say(text); }
    void leave() { socket_.theirs.close(); }
    void be_dropped() { greeter_.reset(); }

private:
    SocketPair socket_;
    int fd_;
    std::optional<callbacks::Greeter<LoopByHand>> greeter_;
};

}  // namespace

TEST_CASE("05.4 a deadline does not hit another client") {
    LoopByHand loop;
    Client ann(loop);
    INFO("ann connected, and disconnected after a second without sending anything");
    loop.pass(1s);
    ann.leave();
    loop.readable(ann.fd());
    REQUIRE_MESSAGE(!ann.is_served(), "she has disconnected: her greeter should have finished");
    INFO("bob connected. His descriptor has the number that was ann's (", ann.fd(), ")");
    const SocketPair bob;
    REQUIRE(bob.ours.fd() == ann.fd());
    INFO("another second passed: ann's two were over");
    CHECK_NOTHROW_MESSAGE(loop.pass(1s),
                          "ann's deadline was called, and went into her greeter, which had been "
                          "destroyed. What a destructor does not cancel stays in the loop");
    const std::string heard = bob.heard();
    CHECK_MESSAGE(
        heard.empty(), "bob heard ", quoted(heard),
        ", which was meant for ann. A callback that is not cancelled outlives its client, and the "
        "kernel reuses the descriptor's number (docs/05-callback-loop.md, Callback "
        "hell, honestly)");
    char byte = 0;
    CHECK_MESSAGE(::recv(bob.theirs.fd(), &byte, 1, MSG_PEEK) != 0,
                  "bob's connection was closed because of ann's deadline");
}

TEST_CASE("05.4 a client that sends a name in time stays, another one is disconnected") {
    LoopByHand loop;
    const Client ann(loop);
    Client bob(loop);
    INFO(
        "ann and bob connected. She said 'an', and a second later 'n' and the end of the line; he "
        "said 'b' and no more. The two seconds passed");
    ann.say("an");
    loop.readable(ann.fd());
    bob.say("b");
    loop.readable(bob.fd());
    loop.pass(1s);
    ann.say("n\n");
    loop.readable(ann.fd());
    loop.pass(1s);
    if (bob.is_served()) loop.readable(bob.fd());  // a socket that was shut down is readable
    const std::string anns = ann.heard();
    CHECK_MESSAGE(anns == "name?\nhello ann\n",
                  "ann should have been asked and greeted; she heard ", quoted(anns),
                  ". The name has come: cancel the deadline then");
    CHECK_MESSAGE(ann.is_served(), "ann should still be served");
    const std::string bobs = bob.heard();
    CHECK_MESSAGE(bobs == "name?\ntoo late\n",
                  "bob should have heard it when his time was over; he heard ", quoted(bobs));
    CHECK_MESSAGE(!bob.is_served(), "bob's greeter should have finished");
}

TEST_CASE("05.4 a destroyed greeter leaves nothing in the loop, however it ends") {
    LoopByHand loop;
    Client ann(loop);
    std::string end;
    SUBCASE("the server ends") {
        end = "the server ended, and destroyed all its greeters";
        ann.be_dropped();
    }
    SUBCASE("the client leaves") {
        end = "she left, before she had said a name";
        ann.leave();
        loop.readable(ann.fd());
    }
    INFO("ann connected; then ", end);
    CHECK_MESSAGE(loop.readers() == 0, "her reader is still there");
    CHECK_MESSAGE(loop.timers() == 0,
                  "the greeter is gone, and the loop still has a timer that calls it. When that is "
                  "due, it calls a function of a destroyed object. What a destructor does not "
                  "cancel stays in the loop");
}
