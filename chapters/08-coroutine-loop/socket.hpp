// A connection that coroutines can wait for.
#pragma once

#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

#include "chapters/08-coroutine-loop/event_loop.hpp"
#include "chapters/08-coroutine-loop/operation.hpp"
#include "common/descriptor.hpp"

namespace coroutines {

/// Owns a connected, non-blocking stream socket and its registration in epoll.
///
/// It is registered once, edge-triggered, for both directions: epoll reports
/// that the socket has become readable or writable, and never repeats it. So
/// the Socket remembers: it counts as readable until a read has emptied it, and
/// as writable until a write has filled it. A request that is answered at once
/// costs one epoll_wait, one read and one write.
///
/// At most one coroutine reads and at most one writes at a time. If the Socket
/// is destroyed while a coroutine waits for it, that coroutine gets ECANCELED.
///
/// A write to a connection that the peer has closed raises SIGPIPE. The program
/// must ignore it, as run_program() does; then the write fails with EPIPE.
class Socket {
public:
    /// Takes over `descriptor`. Throws std::system_error (ENOSPC, ENOMEM: the
    /// system's limit on epoll watches is reached).
    Socket(EventLoop& loop, common::Descriptor descriptor)
        : state_(std::make_unique<State>(loop, std::move(descriptor))) {}

    [[nodiscard]] int fd() const { return state_->descriptor.fd(); }

    /// `co_await socket.read(buffer)` reads what is there, up to the size of
    /// `buffer`, and returns the number of bytes; 0 means the end of input.
    /// `buffer` must not be empty and must live until then. Throws
    /// std::system_error (ECONNRESET...), and std::logic_error if another
    /// coroutine is reading. A read that is destroyed while it waits may have
    /// taken bytes that are now lost, so the connection must be closed.
    class Read;
    Read read(std::span<char> buffer);

    /// `co_await socket.write_all(data)` resumes when the kernel has taken all
    /// of `data`, which must live until then. Throws as read() does. If it is
    /// destroyed or throws, an unknown part of `data` has been sent, so the
    /// connection must be closed.
    class Write;
    Write write_all(std::string_view data);

    /// Returns when a byte last moved, in either direction, or when this was
    /// first called: before the first call the Socket keeps no times, since
    /// reading a clock twice a request would cost more than the loop itself.
    TimePoint last_activity();

private:
    class Transfer;

    /// epoll's tag points to it, so it must not move when the Socket does.
    struct State : EventSource {
        State(EventLoop& owner, common::Descriptor taken)
            : loop(owner), descriptor(std::move(taken)) {
            loop.epoll().add(
                descriptor.fd(),
                EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET,
                static_cast<EventSource*>(this));
        }
        ~State() override;
        State(const State&) = delete;
        State& operator=(const State&) = delete;

        void on_events(std::uint32_t events) noexcept override;

        EventLoop& loop;
        common::Descriptor descriptor;
        // True until a read or a write proves otherwise
        bool readable = true;
        bool writable = true;
        // epoll has announced the end, an error or urgent data: even after a
        // short read there is something left to read
        bool must_drain = false;
        // Empty until the first call of last_activity()
        std::optional<TimePoint> last_activity;
        // The operations that wait or are deferred, one a direction
        Transfer* reader = nullptr;
        Transfer* writer = nullptr;
    };

    std::unique_ptr<State> state_;
};

/// The part that reading and writing share: try, and if the socket is not
/// ready, wait for an event and try again.
class Socket::Transfer : public Operation {
public:
    /// Points to the transfer's slot in a State: &State::reader or
    /// &State::writer.
    using Direction = Transfer* State::*;

    Transfer(State& state, Direction direction)
        : state_(&state), direction_(direction) {}
    Transfer(const Transfer&) = delete;
    Transfer& operator=(const Transfer&) = delete;

    ~Transfer() override {
        stop_waiting();
        release_direction();
    }

    [[nodiscard]] bool await_ready() {
        if (state_->*direction_ != nullptr) {
            throw std::logic_error(
                "two coroutines wait for the same direction of a socket");
        }
        // EXERCISE 08.1
        return is_ready() && state_->loop.has_budget() && attempt();
        // END 08.1
    }

    /// From now on this operation is in the socket's slot for its direction,
    /// and either an event or the loop attempts it again.
    void await_suspend(std::coroutine_handle<> awaiting) noexcept {
        coroutine = awaiting;
        state_->*direction_ = this;
        // Still ready, so await_ready() made no attempt: the budget is spent
        if (is_ready()) {
            state_->loop.defer(*this);
        } else {
            wait_for_readiness();
        }
    }

    bool attempt() noexcept override {
        done_ = transfer();
        if (done_) stop_waiting();
        return done_;
    }

    void wait_for_readiness() noexcept override {
        waiting_ = true;
        state_->loop.add_waiting();
    }

    /// Called when epoll reports that the socket is ready in this direction.
    void on_ready() noexcept {
        if (waiting_ && attempt()) state_->loop.schedule(*this);
    }

    /// Called before the Socket is destroyed.
    void on_closed() noexcept {
        stop_waiting();
        EventLoop& loop = std::exchange(state_, nullptr)->loop;
        // Already scheduled
        if (done_) return;
        done_ = true;
        error_ = ECANCELED;
        unlink();
        loop.schedule(*this);
    }

protected:
    /// Returns true if a system call is worth trying.
    [[nodiscard]] virtual bool is_ready() const noexcept = 0;

    /// Makes the system call without blocking: read(2) or recv(2), write(2) or
    /// send(2). Returns false if it would have blocked, true if it is complete:
    /// successful, or failed with an error for finish(). Called again after
    /// false, it continues where it stopped.
    virtual bool transfer() noexcept = 0;

    /// Begins every await_resume(): throws the error, if there was one.
    void finish(const char* what) {
        release_direction();
        if (error_ != 0)
            throw std::system_error(error_, std::generic_category(), what);
    }

    [[nodiscard]] State& state() const { return *state_; }

    void fail(int error) noexcept { error_ = error; }

    void record_activity() noexcept {
        if (state_->last_activity) state_->last_activity = state_->loop.now();
    }

private:
    void stop_waiting() noexcept {
        if (std::exchange(waiting_, false)) state_->loop.remove_waiting();
    }

    void release_direction() noexcept {
        if (state_ != nullptr && state_->*direction_ == this)
            state_->*direction_ = nullptr;
    }

    // Null once the Socket has been destroyed
    State* state_;
    Direction direction_;
    // For an event
    bool waiting_ = false;
    bool done_ = false;
    int error_ = 0;
};

class [[nodiscard]] Socket::Read : public Transfer {
public:
    Read(State& state, std::span<char> buffer)
        : Transfer(state, &State::reader), buffer_(buffer) {}

    /// Returns the number of bytes; 0 at the end of input.
    std::size_t await_resume() {
        finish("cannot read");
        return count_;
    }

private:
    [[nodiscard]] bool is_ready() const noexcept override {
        return state().readable;
    }

    /// Reads once, and keeps `readable` and `must_drain` up to date.
    bool transfer() noexcept override {
        ssize_t count = -1;
        do {
            count =
                ::read(state().descriptor.fd(), buffer_.data(), buffer_.size());
        } while (count < 0 && errno == EINTR);
        if (count < 0 && errno == EAGAIN) {
            state().readable = false;
            state().must_drain = false;
            return false;
        }
        if (count < 0) {
            fail(errno);
            return true;
        }
        count_ = static_cast<std::size_t>(count);
        record_activity();
        // A short read has emptied the socket, so the next read, which would
        // only return EAGAIN, can be saved (epoll(7)). There are two
        // exceptions. Every read stops at an urgent mark (RFC 6093). And an
        // announced end takes one more read, for which no other event comes.
        if (count_ < buffer_.size() && !state().must_drain)
            state().readable = false;
        return true;
    }

    std::span<char> buffer_;
    std::size_t count_ = 0;
};

class [[nodiscard]] Socket::Write : public Transfer {
public:
    Write(State& state, std::string_view data)
        : Transfer(state, &State::writer), rest_(data) {}

    void await_resume() { finish("cannot write"); }

private:
    [[nodiscard]] bool is_ready() const noexcept override {
        return state().writable;
    }

    /// Writes until `rest_` is empty or there is no room, and keeps `writable`
    /// up to date. A short write may be taken for "no room", as a short read
    /// may for "empty" (epoll(7)): an event follows in either case.
    bool transfer() noexcept override {
        while (!rest_.empty()) {
            const ssize_t count =
                ::write(state().descriptor.fd(), rest_.data(), rest_.size());
            if (count < 0 && errno == EINTR) continue;
            if (count < 0 && errno == EAGAIN) {
                state().writable = false;
                return false;
            }
            if (count < 0) {
                fail(errno);
                return true;
            }
            rest_.remove_prefix(static_cast<std::size_t>(count));
            record_activity();
        }
        return true;
    }

    std::string_view rest_;
};

inline Socket::State::~State() {
    // Closing the descriptor would not do: epoll watches the connection as long
    // as any duplicate of the descriptor is open, in a child process too.
    loop.epoll().remove(descriptor.fd());
    if (reader != nullptr) reader->on_closed();
    if (writer != nullptr) writer->on_closed();
}

inline void Socket::State::on_events(std::uint32_t events) noexcept {
    constexpr std::uint32_t more_than_data =
        EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI;
    if ((events & more_than_data) != 0) must_drain = true;
    if ((events & (EPOLLIN | more_than_data)) != 0) {
        readable = true;
        if (reader != nullptr) reader->on_ready();
    }
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
        writable = true;
        if (writer != nullptr) writer->on_ready();
    }
}

inline Socket::Read Socket::read(std::span<char> buffer) {
    return {*state_, buffer};
}

inline Socket::Write Socket::write_all(std::string_view data) {
    return {*state_, data};
}

inline TimePoint Socket::last_activity() {
    if (!state_->last_activity) state_->last_activity = state_->loop.now();
    return *state_->last_activity;
}

}  // namespace coroutines
