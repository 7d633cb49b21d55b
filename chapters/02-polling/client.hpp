// One client of a server in which no call may block.
#pragma once

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <utility>

#include "common/descriptor.hpp"

namespace polling {

/// A connection as a small state machine:
///
///     reading --- bytes came -----> writing
///     reading <-- all are sent ---- writing
///     reading --- end of input ---> finished      (so does any error)
///
/// The server either reads from a client or writes to it, never both at a time.
/// It follows that a client that does not read is not read from
/// (back-pressure), that its memory is one fixed buffer, and that nothing is
/// owed any more when the end of input is read.
class Client {
public:
    enum class State { reading, writing, finished };

    /// Takes ownership of `socket`, which is connected and non-blocking.
    explicit Client(common::Descriptor socket) : socket_(std::move(socket)) {}

    [[nodiscard]] int fd() const { return socket_.fd(); }
    [[nodiscard]] State state() const { return state_; }

    /// Does what is possible at once: at most one read and one write, so that
    /// no client delays the others. Returns true if more may be possible at
    /// once: bytes moved, or a signal interrupted the call (EINTR). Returns
    /// false if the kernel had nothing to read or no room to write (EAGAIN), or
    /// if the client is finished.
    bool serve() {
        bool made_progress = false;
        if (state_ == State::reading) made_progress = receive();
        if (state_ == State::writing) made_progress = send() || made_progress;
        return made_progress && state_ != State::finished;
    }

private:
    // Both make one system call. Both return what serve() returns: true if
    // another call may succeed at once. Bytes that were read have to be written
    // before anything else is read.

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
        // Perhaps only a part
        sent_ += static_cast<std::size_t>(count);
        if (sent_ == end_) state_ = State::reading;
        return true;
    }

    /// Decides, from errno, what a failed call means for the client, and
    /// returns whether another call may succeed at once. After EAGAIN ("not
    /// now") and EINTR (a signal came first) nothing is lost, and the state
    /// stays. Only EAGAIN says that there is nothing to read, or no room: a
    /// server that sleeps after it (chapter 04) must not sleep after EINTR. Any
    /// other error (ECONNRESET, EPIPE, ETIMEDOUT, ENOBUFS...) ends this client,
    /// and only this one.
    bool close_unless_transient() {
        if (errno == EAGAIN) return false;
        if (errno == EINTR) return true;
        state_ = State::finished;
        return false;
    }

    using Buffer = std::array<char, 16 * 1024>;

    common::Descriptor socket_;
    // Not initialised, so that short lines touch one page (4 kB), not four.
    std::unique_ptr<Buffer> buffer_ = std::make_unique_for_overwrite<Buffer>();
    // The bytes buffer_[sent_, end_) are still to be written.
    std::size_t sent_ = 0;
    std::size_t end_ = 0;
    State state_ = State::reading;
};

}  // namespace polling
