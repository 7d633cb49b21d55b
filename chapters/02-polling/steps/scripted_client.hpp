// The other side of a conversation, for the steps: a client that follows a
// script, a little at a time.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <string>
#include <utility>

#include "common/descriptor.hpp"
#include "common/error.hpp"

namespace steps {

/// Both ends of one connection: the client's end, which this class plays, and
/// the server's. No call blocks, so one thread can play the server and several
/// clients in turn.
class ScriptedClient {
public:
    /// Creates a client called `name` that will send `words` and expects them
    /// back.
    ScriptedClient(std::string name, std::string words)
        : name_(std::move(name)), words_(std::move(words)) {
        std::array<int, 2> ends{};
        common::check(
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()),
            "cannot make a socket pair");
        ours_ = common::Descriptor(ends[0]);
        theirs_ = common::Descriptor(ends[1]);
    }

    /// Returns the server's end; this object keeps owning it.
    [[nodiscard]] int server_side() const { return theirs_.fd(); }
    [[nodiscard]] bool connected() const { return static_cast<bool>(theirs_); }

    /// Passes ownership of the server's end to the caller.
    common::Descriptor take_server_side() { return std::move(theirs_); }

    /// Closes the server's end, as a server does after the end of input.
    void hang_up() { theirs_.close(); }

    /// Sends as much as the kernel takes now.
    void send_more() {
        if (has_sent_all()) return;
        const ssize_t count = send(ours_.fd(), words_.data() + sent_,
                                   words_.size() - sent_, MSG_NOSIGNAL);
        if (count > 0) sent_ += static_cast<std::size_t>(count);
    }

    [[nodiscard]] bool has_sent_all() const { return sent_ == words_.size(); }

    /// Ends the client's input; it can still receive.
    void half_close() { shutdown(ours_.fd(), SHUT_WR); }

    /// Reads once. Returns false if there is nothing to read now.
    bool receive_some() {
        std::array<char, 64 * 1024> buffer;
        const ssize_t count = read(ours_.fd(), buffer.data(), buffer.size());
        if (count > 0)
            received_.append(buffer.data(), static_cast<std::size_t>(count));
        return count > 0;
    }

    void receive_all() {
        while (receive_some()) {
        }
    }

    /// Returns true once all of `words` has come back.
    [[nodiscard]] bool is_complete() const { return received_ == words_; }

    /// Prints one line, such as
    /// "carl sent 4000000 bytes, 4000000 came back".
    void report() const {
        std::printf("%-4s sent %7zu bytes, %7zu came back%s\n", name_.c_str(),
                    sent_, received_.size(),
                    received_ == words_.substr(0, sent_)
                        ? ""
                        : "  <-- not what was sent");
    }

private:
    std::string name_;
    std::string words_;
    std::string received_;
    std::size_t sent_ = 0;
    common::Descriptor ours_;
    common::Descriptor theirs_;
};

}  // namespace steps
