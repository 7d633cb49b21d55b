// A connection that coroutines can wait for.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "chapters/08-coroutine-loop/event_loop.hpp"
#include "common/descriptor.hpp"
#include "common/error.hpp"
#include "common/listener.hpp"

namespace coroutines {

/// Owns a connected, non-blocking stream socket and its place on epoll's list.
///
/// It is registered once, edge-triggered, for everything: the kernel tells when
/// the socket becomes readable or writable, and never repeats it. So the socket
/// remembers: it is taken for readable until a read has emptied it, and for
/// writable until a write has filled it. A request that is answered at once
/// costs epoll_wait, read and write, and nothing else.
///
/// At most one coroutine reads and one writes at the same time. Destroyed while
/// one of them waits, the socket lets it go on with ECANCELED.
class Socket {
public:
    /// Takes over `descriptor`. Throws std::system_error (ENOSPC, ENOMEM: no
    /// more watches).
    Socket(EventLoop& loop, common::Descriptor descriptor)
        : state_(std::make_unique<State>(loop, std::move(descriptor))) {}

    [[nodiscard]] int fd() const { return state_->descriptor.fd(); }

    class Read;
    class Write;

    /// `co_await socket.read(buffer)` reads what there is, up to the size of
    /// `buffer`; 0 is the end of input. `buffer` is not empty and must live
    /// until then. Throws std::system_error (ECONNRESET...), and
    /// std::logic_error where another coroutine reads already. When it is
    /// destroyed, it may have taken bytes that nobody gets now: all that can be
    /// done with the connection is to close it.
    Read read(std::span<char> buffer);

    /// `co_await socket.write_all(data)` goes on when the kernel has taken all
    /// of `data`, which must live until then. Throws as read() does. When it is
    /// destroyed or throws, an unknown part of `data` is on its way: all that
    /// can be done with the connection is to close it.
    Write write_all(std::span<const char> data);

    /// When a byte last moved, in either direction, or when this was first
    /// asked. Before that nobody keeps the time: asking a clock twice a request
    /// would cost more than the loop itself.
    TimePoint last_activity();

private:
    class Transfer;

    /// What the kernel's tag points to: it must not move when the Socket does.
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

        void happened(std::uint32_t events) noexcept override;

        EventLoop& loop;
        common::Descriptor descriptor;
        // Not known to be empty
        bool readable = true;
        // Not known to be full
        bool writable = true;
        // The end, an error or urgent data was announced: see Read
        bool exceptional = false;
        // empty: nobody asked
        std::optional<TimePoint> last_activity;
        Transfer* reader = nullptr;
        Transfer* writer = nullptr;
    };

    std::unique_ptr<State> state_;
};

/// What reading and writing have in common: try; if the socket is not ready,
/// wait and try again.
class Socket::Transfer : public Operation {
public:
    Transfer(State& state, Transfer* State::* side)
        : state_(&state), side_(side) {}
    Transfer(const Transfer&) = delete;
    Transfer& operator=(const Transfer&) = delete;

    ~Transfer() override {
        stop_waiting();
        give_up_side();
    }

    [[nodiscard]] bool await_ready() {
        if (state_->*side_ != nullptr) {
            throw std::logic_error(
                "two coroutines wait for the same direction of a socket");
        }
        // EXERCISE 08.1
        return is_ready() && state_->loop.may_go_on() && attempt();
        // END 08.1
    }

    void await_suspend(std::coroutine_handle<> awaiting) noexcept {
        coroutine = awaiting;
        state_->*side_ = this;
        // Not tried: the coroutine has had its share of this turn
        if (is_ready()) {
            state_->loop.try_later(*this);
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
        state_->loop.watch(+1);
    }

    /// The kernel says that the socket is ready for this side.
    void on_ready() noexcept {
        if (waiting_ && attempt()) state_->loop.schedule(*this);
    }

    /// The socket is about to be destroyed.
    void on_closed() noexcept {
        stop_waiting();
        EventLoop& loop = std::exchange(state_, nullptr)->loop;
        // Its coroutine is about to be resumed
        if (done_) return;
        done_ = true;
        error_ = ECANCELED;
        unlink();
        loop.schedule(*this);
    }

protected:
    /// Whether it is worth a system call.
    [[nodiscard]] virtual bool is_ready() const noexcept = 0;

    /// Does it, without waiting. False: not yet. True: done, or failed with an
    /// error for finish().
    virtual bool transfer() noexcept = 0;

    /// What every await_resume() begins with.
    void finish(const char* what) {
        give_up_side();
        if (error_ != 0)
            throw std::system_error(error_, std::generic_category(), what);
    }

    [[nodiscard]] State& state() const { return *state_; }

    void fail(int error) noexcept { error_ = error; }

    void bytes_moved() noexcept {
        if (state_->last_activity) state_->last_activity = state_->loop.now();
    }

private:
    void stop_waiting() noexcept {
        if (std::exchange(waiting_, false)) state_->loop.watch(-1);
    }

    void give_up_side() noexcept {
        if (state_ != nullptr && state_->*side_ == this)
            state_->*side_ = nullptr;
    }

    // null: the socket is gone
    State* state_;
    Transfer* State::* side_;
    // For the kernel
    bool waiting_ = false;
    bool done_ = false;
    int error_ = 0;
};

class [[nodiscard]] Socket::Read : public Transfer {
public:
    Read(State& state, std::span<char> buffer)
        : Transfer(state, &State::reader), buffer_(buffer) {}

    /// The number of bytes; 0 at the end of input.
    std::size_t await_resume() {
        finish("cannot read");
        return count_;
    }

private:
    [[nodiscard]] bool is_ready() const noexcept override {
        return state().readable;
    }

    bool transfer() noexcept override {
        ssize_t count = -1;
        do {
            count =
                ::read(state().descriptor.fd(), buffer_.data(), buffer_.size());
        } while (count < 0 && errno == EINTR);
        if (count < 0 && errno == EAGAIN) {
            state().readable = false;
            state().exceptional = false;
            return false;
        }
        if (count < 0) {
            fail(errno);
            return true;
        }
        count_ = static_cast<std::size_t>(count);
        bytes_moved();
        // Less than there was room for: the socket is empty, and the read that
        // would only say so (EAGAIN) can be saved. Not so at an urgent mark,
        // where every read stops (RFC 6093), nor when the end was announced,
        // which needs one more read and no other event comes for it.
        if (count_ < buffer_.size() && !state().exceptional)
            state().readable = false;
        return true;
    }

    std::span<char> buffer_;
    std::size_t count_ = 0;
};

class [[nodiscard]] Socket::Write : public Transfer {
public:
    Write(State& state, std::span<const char> data)
        : Transfer(state, &State::writer), rest_(data) {}

    void await_resume() { finish("cannot write"); }

private:
    [[nodiscard]] bool is_ready() const noexcept override {
        return state().writable;
    }

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
            rest_ = rest_.subspan(static_cast<std::size_t>(count));
            bytes_moved();
        }
        return true;
    }

    std::span<const char> rest_;
};

inline Socket::State::~State() {
    if (reader != nullptr) reader->on_closed();
    if (writer != nullptr) writer->on_closed();
}

inline void Socket::State::happened(std::uint32_t events) noexcept {
    constexpr std::uint32_t more_than_data =
        EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI;
    if ((events & more_than_data) != 0) exceptional = true;
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

inline Socket::Write Socket::write_all(std::span<const char> data) {
    return {*state_, data};
}

inline TimePoint Socket::last_activity() {
    if (!state_->last_activity) state_->last_activity = state_->loop.now();
    return *state_->last_activity;
}

/// `co_await accept(loop, listener)` is the next client. What keeps it from
/// being accepted (it left, no descriptor is free: see Listener, or the kernel
/// watches no more) is waited out. Both must outlive the task.
inline Task<Socket> accept(EventLoop& loop, common::Listener& listener) {
    Duration pause = listener.pause();
    while (true) {
        if (pause > Duration::zero()) co_await loop.sleep_for(pause);
        try {
            co_await loop.readable(listener.fd());
            common::Descriptor client = listener.accept();
            if (client) co_return Socket(loop, std::move(client));
            pause = listener.pause();
        } catch (const std::system_error& error) {
            // epoll_ctl(2): the system's limit on watches
            if (error.code() != std::errc::no_space_on_device &&
                error.code() != std::errc::not_enough_memory) {
                throw;
            }
            std::fprintf(stderr, "refusing clients: %s\n", error.what());
            pause = std::chrono::milliseconds(100);
        }
    }
}

/// `co_await connect(loop, port)` is a connection to 127.0.0.1:`port`. Throws
/// std::system_error (ECONNREFUSED...). Without a time-out of its own: see
/// with_timeout().
inline Task<Socket> connect(EventLoop& loop, std::uint16_t port) {
    const std::string what =
        "cannot connect to 127.0.0.1:" + std::to_string(port);
    common::Descriptor descriptor(
        ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!descriptor) common::throw_errno(what);
    const int on = 1;
    ::setsockopt(descriptor.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);

    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (::connect(descriptor.fd(), generic, sizeof address) == -1) {
        // The handshake goes on by itself; when it is over the socket is
        // writable, and SO_ERROR says how it ended (connect(2)). The same after
        // EINTR.
        if (errno != EINPROGRESS && errno != EINTR) common::throw_errno(what);
        co_await loop.writable(descriptor.fd());
        int error = 0;
        socklen_t size = sizeof error;
        ::getsockopt(descriptor.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0)
            throw std::system_error(error, std::generic_category(), what);
    }
    co_return Socket(loop, std::move(descriptor));
}

}  // namespace coroutines
