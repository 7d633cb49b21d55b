// Exercise 02.2: a client that is read ahead of its answers, within a bound.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <string>
#include <utility>

#include "common/descriptor.hpp"

namespace polling {

/// Reads ahead: while a client is slow to take its answers, the server reads
/// and keeps more of its input. That saves time if answers take long to make.
/// It costs memory, which needs a bound: a client that never reads must not be
/// able to fill the server's memory.
class EagerClient {
public:
    /// The most that is ever kept for one client, in bytes.
    static constexpr std::size_t most = 64 * 1024;

    /// Takes ownership of `socket`, which is connected and non-blocking.
    explicit EagerClient(common::Descriptor socket)
        : socket_(std::move(socket)) {}

    /// Returns true once all input has been echoed, or the client has
    /// disconnected.
    [[nodiscard]] bool finished() const {
        return gone_ || (ended_ && owed() == 0);
    }

    /// Returns the number of bytes still to be written.
    [[nodiscard]] std::size_t owed() const { return kept_.size() - sent_; }

    /// Returns the number of bytes kept in memory: at most `most`.
    [[nodiscard]] std::size_t kept() const { return kept_.size(); }

    /// Does what is possible at once: at most one read and one write.
    void serve() {
        if (!ended_ && !gone_) receive();
        if (owed() > 0 && !gone_) send();
    }

private:
    void receive() {
        // EXERCISE 02.2
        char block[16 * 1024];
        const std::size_t room = std::min(sizeof block, most - kept_.size());
        // Back-pressure: TCP stops the client.
        if (room == 0) return;
        const ssize_t count = ::read(socket_.fd(), block, room);
        // END 02.2
        if (count < 0) return close_unless_transient();
        if (count == 0) ended_ = true;
        kept_.append(block, static_cast<std::size_t>(count));
    }

    void send() {
        const ssize_t count =
            ::write(socket_.fd(), kept_.data() + sent_, owed());
        if (count < 0) return close_unless_transient();
        sent_ += static_cast<std::size_t>(count);
        // EXERCISE 02.2
        kept_.erase(0, std::exchange(sent_, 0));
        // END 02.2
    }

    void close_unless_transient() {
        if (errno != EAGAIN && errno != EINTR) gone_ = true;
    }

    common::Descriptor socket_;
    // Input that has been read; kept_[0, sent_) has been written back.
    std::string kept_;
    std::size_t sent_ = 0;
    // The end of input has been read.
    bool ended_ = false;
    // An error has ended the connection.
    bool gone_ = false;
};

}  // namespace polling
