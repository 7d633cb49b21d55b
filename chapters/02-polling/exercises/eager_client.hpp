// Exercise 02.2: a client that is read from although it is still owed
// something. With a bound.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <string>
#include <utility>

#include "common/descriptor.hpp"

namespace polling {

/// Reads ahead: while the client is slow to take its answers, more of what it
/// says is read already, and kept. That saves waiting where answers take time
/// to make. What it costs is memory, and that must have a bound: a client that
/// never reads must not be able to fill the server's.
class EagerClient {
public:
    /// The most that is ever kept for one client, in bytes.
    static constexpr std::size_t most = 64 * 1024;

    /// Takes over `socket`: connected and non-blocking.
    explicit EagerClient(common::Descriptor socket)
        : socket_(std::move(socket)) {}

    /// Everything has been said, and everything was delivered; or the client is
    /// gone.
    [[nodiscard]] bool finished() const {
        return gone_ || (ended_ && owed() == 0);
    }

    /// How many bytes are still to be written.
    [[nodiscard]] std::size_t owed() const { return kept_.size() - sent_; }

    /// How many bytes are kept in memory: at most `most`.
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
        // Back-pressure: TCP makes the client wait
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
    // What was read and is not yet let go of
    std::string kept_;
    // Kept_[0, sent_) has been written
    std::size_t sent_ = 0;
    // End of input
    bool ended_ = false;
    // An error: nobody is there any more
    bool gone_ = false;
};

}  // namespace polling
