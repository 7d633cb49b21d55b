// One client of a server that must never sleep for the sake of one client.
#pragma once

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <utility>

#include "common/descriptor.hpp"

namespace polling {

/// A connection as a small state machine.
///
///     reading --- bytes came ----> writing
///     reading <-- all is sent ---- writing
///     reading --- end of input --> finished      (any error finishes it too)
///
/// It is either read from or written to, never both. So a client that does not
/// read is not read from (back-pressure), its memory is one fixed buffer, and
/// at the end of input nothing is owed any more.
class Client {
public:
    enum class State { reading, writing, finished };

    /// Takes over `socket`: connected and non-blocking.
    explicit Client(common::Descriptor socket) : socket_(std::move(socket)) {}

    [[nodiscard]] int fd() const { return socket_.fd(); }
    [[nodiscard]] State state() const { return state_; }

    /// Does what is possible at once: at most one read and one write, so that
    /// no client keeps the others waiting. Returns true if bytes moved, and
    /// more may be possible at once; false if the kernel had nothing to read or
    /// took nothing (EAGAIN), or if the client is finished.
    bool serve() {
        bool made_progress = false;
        if (state_ == State::reading) made_progress = receive();
        if (state_ == State::writing) made_progress = send() || made_progress;
        return made_progress && state_ != State::finished;
    }

private:
    bool receive() {
        const ssize_t count = ::read(fd(), buffer_->data(), buffer_->size());
        if (count < 0) return close_unless_transient();
        // End of input
        if (count == 0) {
            state_ = State::finished;
            return false;
        }
        sent_ = 0;
        end_ = static_cast<std::size_t>(count);
        state_ = State::writing;
        return true;
    }

    bool send() {
        const ssize_t count =
            ::write(fd(), buffer_->data() + sent_, end_ - sent_);
        if (count < 0) return close_unless_transient();
        // May be less than asked for
        sent_ += static_cast<std::size_t>(count);
        if (sent_ == end_) state_ = State::reading;
        return true;
    }

    /// EAGAIN: not now. EINTR: a signal came first. Both lose nothing, and the
    /// next call tries again. Everything else (ECONNRESET, EPIPE, ETIMEDOUT,
    /// ENOBUFS...) ends this client and no other.
    bool close_unless_transient() {
        if (errno == EAGAIN) return false;
        if (errno == EINTR) return true;
        state_ = State::finished;
        return false;
    }

    using Buffer = std::array<char, 16 * 1024>;

    common::Descriptor socket_;
    // Not initialised: an idle client costs a page of memory, not all of them
    // (4 kB, not 16).
    std::unique_ptr<Buffer> buffer_ = std::make_unique_for_overwrite<Buffer>();
    // Buffer_[sent_, end_) is still to be written
    std::size_t sent_ = 0;
    std::size_t end_ = 0;
    State state_ = State::reading;
};

}  // namespace polling
