// Exercise 05.4: a deadline that outlives its client.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "chapters/05-callback-loop/clock.hpp"
#include "chapters/05-callback-loop/timer_queue.hpp"
#include "common/descriptor.hpp"

namespace callbacks {

/// Asks a client for its name, and greets it. A client that has not sent a name
/// in time is disconnected, however many bytes came meanwhile. After the
/// greeting it only waits for the end of input (a chat would begin here).
///
/// `Loop` is EventLoop or another class with its call_later, cancel, add_reader
/// and remove_reader. The tests bring a simple one of their own, so this
/// exercise does not depend on the others.
template <class Loop>
class Greeter {
public:
    /// The most that is read at a time, in bytes. A name that has become this
    /// long is taken as it is.
    static constexpr std::size_t longest = 64;

    /// Takes over `socket`, which is connected and non-blocking, and asks at
    /// once. Does not own `loop`. Calls `on_finished` once, when the client has
    /// left or was disconnected; `on_finished` may destroy the greeter.
    Greeter(Loop& loop, common::Descriptor socket, Duration patience,
            Callback on_finished)
        : loop_(loop),
          socket_(std::move(socket)),
          on_finished_(std::move(on_finished)) {
        say("name?\n");
        loop_.add_reader(fd(), [this] { listen(); });
        // EXERCISE 05.4
        deadline_ = loop_.call_later(patience, [this] {
            say("too late\n");
            finish();
        });
        // END 05.4
    }

    /// Takes all callbacks back from the loop, in any state.
    ~Greeter() {
        loop_.remove_reader(fd());
        // EXERCISE 05.4
        loop_.cancel(deadline_);
        // END 05.4
    }

    Greeter(const Greeter&) = delete;
    Greeter& operator=(const Greeter&) = delete;

private:
    void listen() {
        char block[longest];
        const ssize_t count = ::read(fd(), block, sizeof block);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (count <= 0) return finish();
        if (greeted_) return;
        name_.append(block, static_cast<std::size_t>(count));
        const std::size_t end = name_.find('\n');
        if (end == std::string::npos && name_.size() < longest) return;
        greet(name_.substr(0, end));
    }

    void greet(const std::string& name) {
        greeted_ = true;
        // EXERCISE 05.4
        loop_.cancel(deadline_);
        // END 05.4
        say("hello " + name + "\n");
    }

    /// Sends a short line. The socket's buffer has room, so the kernel takes
    /// all of it, unless the client has left, which the next read returns.
    void say(std::string_view text) {
        ::send(fd(), text.data(), text.size(), MSG_NOSIGNAL);
    }

    /// Must be the last call of a callback, because it destroys the greeter.
    void finish() {
        // Moved out first: on_finished_ is destroyed together with the greeter.
        const Callback on_finished = std::move(on_finished_);
        on_finished();
    }

    [[nodiscard]] int fd() const { return socket_.fd(); }

    Loop& loop_;
    common::Descriptor socket_;
    Callback on_finished_;
    // What has arrived of the name.
    std::string name_;
    bool greeted_ = false;
    TimerHandle deadline_;
};

}  // namespace callbacks
