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

/// Asks a client for its name, and greets it. Who has not said one in time is
/// shown the door, however many bytes came meanwhile. After the greeting it
/// only listens for the end (a chat would begin).
///
/// `Loop` is EventLoop, or whatever else has its call_later, cancel, add_reader
/// and remove_reader: the tests bring a loop that they wind by hand, so nothing
/// else has to be written before this.
template <class Loop>
class Greeter {
public:
    /// So much is read at a time, in bytes; a name that has got as long as this
    /// is taken as it is.
    static constexpr std::size_t longest = 64;

    /// Takes over `socket`: connected and non-blocking. Asks at once.
    /// `on_finished` is called once, when the client has gone or was shown the
    /// door, and may destroy the greeter, as its owner does. `loop` is not
    /// owned.
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

    /// Can be destroyed in any state: nothing is going to call it then.
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

    /// Two short lines, and the socket's buffer was empty: the kernel takes all
    /// of it, or nobody is there any more, which the next read says.
    void say(std::string_view text) {
        ::send(fd(), text.data(), text.size(), MSG_NOSIGNAL);
    }

    /// Must be the last thing that a callback does: afterwards there is no
    /// greeter any more.
    void finish() {
        // Goes with the greeter
        const Callback on_finished = std::move(on_finished_);
        on_finished();
    }

    [[nodiscard]] int fd() const { return socket_.fd(); }

    Loop& loop_;
    common::Descriptor socket_;
    Callback on_finished_;
    // What has come of it
    std::string name_;
    bool greeted_ = false;
    TimerHandle deadline_;
};

}  // namespace callbacks
