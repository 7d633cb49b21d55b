// The server's conversation: timeouts and delays on a clock that jumps, with both sides on one
// loop.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chapters/05-callback-loop/connection.hpp"
#include "chapters/05-callback-loop/event_loop.hpp"
#include "common/service_options.hpp"
#include "tests/05-callback-loop/pair.hpp"

using callbacks::Connection;
using callbacks::EventLoop;
using callbacks::SimulatedClock;
using namespace std::chrono_literals;

namespace {

/// The server's side of one connection, owned as a server owns it, and the client's socket.
class Conversation {
public:
    Conversation(EventLoop& loop, const common::ServiceOptions& options) : loop_(loop) {
        const int little = 4096;  // room for answers that the client has not read yet, in bytes
        ::setsockopt(pair_.ours.fd(), SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
        const auto on_finished = [this] {
            connection_.reset();
            finished_after_ = loop_.now() - start_;  // this callback was the connection's
        };
        connection_ =
            std::make_unique<Connection>(loop, std::move(pair_.ours), options, on_finished);
        connection_->start();
    }

    [[nodiscard]] int client() const { return pair_.theirs.fd(); }
    [[nodiscard]] int server() const { return server_; }
    void close_client() { pair_.theirs.close(); }
    void drop() { connection_.reset(); }

    void say_after(callbacks::Duration delay, std::string_view text) {
        loop_.call_later(delay, [this, text] { CHECK(testing::write_all(client(), text)); });
    }

    /// Notes when which answer comes, "2000 ms: hello", until the end, "3000 ms: end".
    void listen(std::vector<std::string>& log) {
        loop_.add_reader(client(), [&] {
            const auto time =
                std::chrono::duration_cast<std::chrono::milliseconds>(loop_.now() - start_);
            const std::string when = std::to_string(time.count()) + " ms: ";
            const bool end = testing::at_end(client());
            log.push_back(when + (end ? "end" : testing::read_all(client())));
            if (end) loop_.remove_reader(client());
        });
    }

    /// When the server's side ended, from the beginning; nothing while it goes on.
    [[nodiscard]] std::optional<callbacks::Duration> finished_after() const {
        return finished_after_;
    }

private:
    EventLoop& loop_;
    testing::Pair pair_;
    int server_ = pair_.ours.fd();
    callbacks::TimePoint start_ = loop_.now();
    std::unique_ptr<Connection> connection_;
    std::optional<callbacks::Duration> finished_after_;
};

using Log = std::vector<std::string>;

/// No two pieces of it are alike, unless they are 23 bytes apart.
const std::string long_text = [] {
    std::string text;
    for (int i = 0; i < 500'000; ++i) text += static_cast<char>('a' + i % 23);
    return text;
}();

}  // namespace

TEST_CASE("an echo, and the end of input") {
    SimulatedClock clock;
    EventLoop loop(clock);
    Conversation conversation(loop, {});
    Log log;
    conversation.listen(log);
    conversation.say_after(1s, "hello");
    loop.call_later(2s, [&] { ::shutdown(conversation.client(), SHUT_WR); });
    loop.run();  // returns: the connection leaves nothing behind in the loop
    CHECK(log == Log{"1000 ms: hello", "2000 ms: end"});
}

TEST_CASE("an idle client is closed when the timeout is over, not before") {
    SimulatedClock clock;
    EventLoop loop(clock);
    Conversation conversation(loop, {.idle_timeout = 5s, .reply_delay = 0s});

    SUBCASE("silent from the start") {
        loop.run();
        CHECK(conversation.finished_after() == 5s);
    }
    SUBCASE("a byte just before its end restarts the timeout") {
        conversation.say_after(4999ms, "x");
        loop.run();
        CHECK(conversation.finished_after() == 9999ms);
    }
    SUBCASE("the rest of the time is waited for, not a whole one") {
        conversation.say_after(1s, "x");
        conversation.say_after(2s, "x");
        loop.run();
        CHECK(conversation.finished_after() == 7s);
    }
    CHECK(testing::read_all(conversation.client()).find_first_not_of('x') == std::string::npos);
    CHECK(testing::at_end(conversation.client()));
}

TEST_CASE("without a timeout no client is closed, however idle") {
    SimulatedClock clock;
    EventLoop loop(clock);
    common::ServiceOptions options;
    SUBCASE("none is set") {}
    SUBCASE("it is longer than the clock can show") {
        clock.advance(1s);
        options.idle_timeout = options.idle_timeout.max();
    }
    const Conversation conversation(loop, options);
    loop.call_later(24h * 365, [&] { loop.stop(); });
    loop.run();
    CHECK(!conversation.finished_after());
}

TEST_CASE("every reply takes the delay, and none delays another client's") {
    SimulatedClock clock;
    EventLoop loop(clock);
    const common::ServiceOptions options{.idle_timeout = 0s, .reply_delay = 2s};
    Conversation ann(loop, options);
    Conversation bob(loop, options);
    Log anns;
    Log bobs;
    ann.listen(anns);
    bob.listen(bobs);
    ann.say_after(0s, "ann");
    bob.say_after(1s, "bob");
    loop.call_later(10s, [&] {
        ann.close_client();
        bob.close_client();
    });
    loop.call_later(9s, [&] {
        loop.remove_reader(ann.client());
        loop.remove_reader(bob.client());
    });
    loop.run();
    CHECK(anns == Log{"2000 ms: ann"});
    CHECK(bobs == Log{"3000 ms: bob"});
    CHECK(ann.finished_after() == 10s);
}

TEST_CASE("what one read returned is one reply; until it is sent the client is not read") {
    SimulatedClock clock;
    EventLoop loop(clock);
    Conversation conversation(loop, {.idle_timeout = 0s, .reply_delay = 2s});
    Log log;
    conversation.listen(log);
    conversation.say_after(0s, "one ");
    conversation.say_after(500ms, "two ");  // the first reply is on its way: these wait
    conversation.say_after(1500ms, "three");
    loop.call_later(10s, [&] { ::shutdown(conversation.client(), SHUT_WR); });
    loop.run();
    CHECK(log == Log{"2000 ms: one ", "4000 ms: two three", "10000 ms: end"});
}

TEST_CASE("end of input during a delay: the reply is still sent") {
    SimulatedClock clock;
    EventLoop loop(clock);
    Conversation conversation(loop, {.idle_timeout = 0s, .reply_delay = 2s});
    Log log;
    conversation.listen(log);
    conversation.say_after(0s, "hello");
    loop.call_later(1s, [&] { ::shutdown(conversation.client(), SHUT_WR); });
    loop.run();
    CHECK(log == Log{"2000 ms: hello", "2000 ms: end"});
}

TEST_CASE("a client that leaves during a delay") {
    SimulatedClock clock;
    EventLoop loop(clock);
    Conversation conversation(loop, {.idle_timeout = 0s, .reply_delay = 2s});
    conversation.say_after(0s, "hello");
    loop.call_later(1s, [&] { conversation.close_client(); });
    loop.run();
    INFO("the reply cannot be written: that ends this connection, and nothing else");
    CHECK(conversation.finished_after() == 2s);
}

TEST_CASE("a server that ends during a delay: nothing is called afterwards") {
    SimulatedClock clock;
    EventLoop loop(clock);
    Conversation conversation(loop, {.idle_timeout = 5s, .reply_delay = 2s});
    conversation.say_after(0s, "hello");
    loop.call_later(1s, [&] { conversation.drop(); });
    loop.run();
    INFO("the connection's timers must go with it");
    CHECK(clock.now() == callbacks::TimePoint(1s));
    CHECK(testing::at_end(conversation.client()));
}

TEST_CASE("a connection whose descriptor was duplicated is not called after its end") {
    SimulatedClock clock;
    EventLoop loop(clock);
    Conversation conversation(loop, {});
    INFO(
        "epoll watches what a descriptor refers to, and forgets it only when the last duplicate is "
        "closed: the connection must be removed from epoll before its socket is closed");
    const common::Descriptor duplicate(::dup(conversation.server()));
    REQUIRE(duplicate);
    conversation.drop();
    CHECK(testing::write_all(conversation.client(), "x"));
    loop.call_later(1s, [&] { loop.stop(); });
    loop.run();
    CHECK_MESSAGE(clock.now() == callbacks::TimePoint(1s),
                  "on this clock time passes only while no descriptor is ready");
}

TEST_CASE("a reply delay does not count as idle time") {
    SimulatedClock clock;
    EventLoop loop(clock);
    Conversation conversation(loop, {.idle_timeout = 1s, .reply_delay = 60s});
    Log log;
    conversation.listen(log);
    conversation.say_after(500ms, "hello");
    loop.run();
    CHECK(log == Log{"60500 ms: hello", "61500 ms: end"});
}

TEST_CASE("a client that does not read is not read from, and the timeout ends it") {
    SimulatedClock clock;
    EventLoop loop(clock);
    Conversation conversation(loop, {.idle_timeout = 5s, .reply_delay = 0s});
    const std::string block(64 * 1024, '#');
    std::size_t sent = 0;
    loop.add_writer(conversation.client(), [&] {
        const ssize_t count =
            ::send(conversation.client(), block.data(), block.size(), MSG_NOSIGNAL);
        if (count > 0) sent += static_cast<std::size_t>(count);
        REQUIRE_MESSAGE(sent < 100'000'000, "100 MB were taken from a client that reads nothing");
        if (count < 0 && errno != EAGAIN) loop.remove_writer(conversation.client());
    });
    loop.run();
    CHECK(sent > 0);
    CHECK(conversation.finished_after() == 5s);
}

TEST_CASE("a client that takes the rest of its answer is not idle") {
    SimulatedClock clock;
    EventLoop loop(clock);
    Conversation conversation(loop, {.idle_timeout = 100s, .reply_delay = 0s});
    conversation.say_after(0s, std::string_view(long_text).substr(0, 16 * 1024));
    std::size_t got = 0;
    std::function<void()> read_all = [&] {
        const std::size_t count = testing::read_all(conversation.client()).size();
        got += count;
        if (count > 0) loop.call_soon([&] { loop.call_soon(read_all); });
    };
    loop.call_later(90s, read_all);
    loop.run();
    CHECK(got == 16 * 1024);
    INFO("the server read at 0 s, and wrote the last bytes at 90 s");
    CHECK(conversation.finished_after() == 190s);
}

TEST_CASE("a client that reads slowly gets every byte, in order, and does not count as idle") {
    SimulatedClock clock;
    EventLoop loop(clock);
    Conversation conversation(loop, {.idle_timeout = 100s, .reply_delay = 0s});
    std::string_view rest = long_text;
    std::string got;
    loop.add_writer(conversation.client(), [&] {
        const ssize_t count = ::send(conversation.client(), rest.data(), rest.size(), MSG_NOSIGNAL);
        if (count > 0) rest.remove_prefix(static_cast<std::size_t>(count));
        if (!rest.empty()) return;
        loop.remove_writer(conversation.client());
        ::shutdown(conversation.client(), SHUT_WR);
    });
    std::function<void()> read_a_little = [&] {  // only when nothing else can go on
        char buffer[3000];
        const ssize_t count = ::read(conversation.client(), buffer, sizeof buffer);
        if (count > 0) got.append(buffer, static_cast<std::size_t>(count));
        if (count != 0) loop.call_later(1s, read_a_little);
    };
    loop.call_later(1s, read_a_little);
    loop.run();
    CHECK(got.size() == long_text.size());
    CHECK((got == long_text));  // in brackets: do not print half a megabyte
    CHECK(conversation.finished_after());
}
