// Exercise 05.4: whose descriptor is it by now? On a loop that is wound by hand, with real sockets.
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

template class callbacks::Greeter<callbacks::EventLoop>;  // in a server it would stand on this one

namespace {

using callbacks::Callback;
using callbacks::Duration;
using callbacks::TimerHandle;
using support::quoted;
using support::SocketPair;
using namespace std::chrono_literals;

/// Stands for the loop: nothing happens on it before the test says so.
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

    /// Time passes: whoever is due is called.
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

    /// There is something to read: whoever waits for it is called.
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

/// A client who has come in, and has two seconds to say a name. Destroyed, the greeter leaves its
/// memory as it was, so that whoever calls it then does the same thing every time.
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

TEST_CASE("05.4 a deadline is nobody else's") {
    LoopByHand loop;
    Client ann(loop);
    INFO("ann connected, and left again after a second, without a word");
    loop.pass(1s);
    ann.leave();
    loop.readable(ann.fd());
    REQUIRE_MESSAGE(!ann.is_served(), "she has gone: the greeter should be finished with her");
    INFO("bob connected. His descriptor has the number that was ann's (", ann.fd(), ")");
    const SocketPair bob;
    REQUIRE(bob.ours.fd() == ann.fd());
    INFO("another second passed: ann's two were over");
    CHECK_NOTHROW_MESSAGE(loop.pass(1s),
                          "ann's deadline was called, and went into her greeter, which had been "
                          "destroyed. What a destructor does not take back, nobody does");
    const std::string heard = bob.heard();
    CHECK_MESSAGE(heard.empty(), "bob heard ", quoted(heard),
                  ", which was meant for ann. A callback that nobody cancels outlives its client, "
                  "and a number is given to the next who asks (docs/05-callback-loop.md, Callback "
                  "hell, honestly)");
    char byte = 0;
    CHECK_MESSAGE(::recv(bob.theirs.fd(), &byte, 1, MSG_PEEK) != 0,
                  "bob's connection was closed, for what ann did");
}

TEST_CASE("05.4 who says a name in time stays, who does not is shown the door") {
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
    if (bob.is_served()) loop.readable(bob.fd());  // what was shut down is readable
    const std::string anns = ann.heard();
    CHECK_MESSAGE(anns == "name?\nhello ann\n",
                  "ann should have been asked and greeted; she heard ", quoted(anns),
                  ". What the deadline was for has happened: cancel it then");
    CHECK_MESSAGE(ann.is_served(), "ann should still be served");
    const std::string bobs = bob.heard();
    CHECK_MESSAGE(bobs == "name?\ntoo late\n",
                  "bob should have been told, at the end of his time; "
                  "he heard ",
                  quoted(bobs));
    CHECK_MESSAGE(!bob.is_served(), "bob's greeter should be finished with him");
}

TEST_CASE("05.4 whoever destroys a greeter, and when: it leaves nothing in the loop") {
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
                  "the greeter is gone, and the loop still has a timer with a callback of it. When "
                  "its time comes, it calls a function for somebody who is not there any more. "
                  "What a destructor does not take back, nobody does");
}
