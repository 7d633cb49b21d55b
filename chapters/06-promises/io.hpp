// Reading, writing, accepting and sleeping as promises, on chapter 05's loop.
//
// An operation belongs to an object (a Socket, an Acceptor, a Timer), and the
// caller keeps that object while the operation is under way. A promise cannot
// be cancelled, but these objects can stop their operations. The promise of a
// stopped operation stays pending forever; its handlers are destroyed as soon
// as nothing refers to it any more.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <exception>
#include <optional>
#include <span>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "chapters/05-callback-loop/clock.hpp"
#include "chapters/05-callback-loop/event_loop.hpp"
#include "chapters/06-promises/job_queue.hpp"
#include "chapters/06-promises/promise.hpp"
#include "common/descriptor.hpp"
#include "common/error.hpp"
#include "common/listener.hpp"

namespace promises {

using callbacks::Duration;
using callbacks::TimePoint;

/// An event loop and the job queue of its promises. The loop knows nothing of
/// promises: with_jobs() wraps the callbacks that it is given. A chain whose
/// handlers have nothing to wait for therefore costs no turn of the loop, up to
/// a budget of jobs.
struct Io {
    /// `clock` is not owned.
    explicit Io(callbacks::Clock& clock = callbacks::steady_clock())
        : loop(clock) {
        jobs.on_work([this] {
            if (!in_callback_) run_jobs_next_turn();
        });
    }
    Io(const Io&) = delete;
    Io& operator=(const Io&) = delete;
    // Jobs go before the loop does: handlers may own sockets.
    ~Io() { jobs.clear(); }

    /// The budget. Without it, jobs that keep making jobs would starve the
    /// loop's other callbacks.
    static constexpr std::size_t max_jobs_per_callback = 1000;

    /// Returns a callback for the loop that calls `callback` and then runs the
    /// jobs, up to the budget. The rest runs in the next turn, and so do all
    /// jobs if `callback` throws.
    template <typename F>
    callbacks::Callback with_jobs(F callback) {
        return [this, callback = std::move(callback)] {
            std::exception_ptr error;
            in_callback_ = true;
            try {
                callback();
                jobs.run(max_jobs_per_callback);
            } catch (...) {
                error = std::current_exception();
            }
            in_callback_ = false;
            if (!jobs.empty()) run_jobs_next_turn();
            if (error) std::rethrow_exception(error);
        };
    }

    // These two come before the loop, so that they outlive it: the loop's
    // callbacks own promises and operations.
    JobQueue jobs;
    // The number of operations that are under way.
    std::size_t waiting = 0;
    callbacks::EventLoop loop;

private:
    void run_jobs_next_turn() {
        if (std::exchange(queued_, true)) return;
        loop.call_soon(with_jobs([this] { queued_ = false; }));
    }

    bool in_callback_ = false;
    // Whether a task that runs the jobs is in the loop's queue.
    bool queued_ = false;
};

/// One kind of operation of an object: at most one is under way at a time.
template <typename T>
class Operation {
public:
    explicit Operation(Io& io) : io_(io) {}
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;
    ~Operation() { stop(); }

    /// Returns true while an operation is under way.
    explicit operator bool() const { return deferred_.has_value(); }

    /// Starts an operation by calling `begin`, and rejects it with what that
    /// throws. Throws std::logic_error if one is under way already.
    template <typename F>
    Promise<T> start(F begin) {
        if (deferred_) {
            throw std::logic_error(
                "the same operation of this object is still under way");
        }
        Promise<T> promise = deferred_.emplace(io_.jobs).promise();
        ++io_.waiting;
        attempt(begin);
        return promise;
    }

    /// Calls `step`, and rejects the operation, which is under way, with what
    /// that throws.
    template <typename F>
    void attempt(F step) {
        try {
            step();
        } catch (...) {
            take()->reject(std::current_exception());
        }
    }

    template <typename... Value>
    void resolve(Value&&... value) {
        take()->resolve(std::forward<Value>(value)...);
    }

    /// Rejects with the error in errno; `what` names the attempt.
    void fail(const char* what) {
        take()->reject(std::system_error(errno, std::generic_category(), what));
    }

    /// Ends the operation, if any, and leaves its promise pending. Returns its
    /// Deferred: with it the handlers are destroyed.
    std::optional<Deferred<T>> stop() {
        if (!deferred_) return std::nullopt;
        return take();
    }

private:
    std::optional<Deferred<T>> take() {
        --io_.waiting;
        return std::exchange(deferred_, std::nullopt);
    }

    Io& io_;
    std::optional<Deferred<T>> deferred_;
};

/// A sleep that its owner can stop.
class Timer {
public:
    explicit Timer(Io& io) : io_(io), sleep_(io) {}
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;
    ~Timer() { stop(); }

    /// Returns a promise that is fulfilled at `due`, not before.
    Promise<void> sleep_until(TimePoint due) {
        return sleep_.start([&] {
            handle_ = io_.loop.call_at(
                due, io_.with_jobs([this] { sleep_.resolve(); }));
        });
    }

    void stop() {
        io_.loop.cancel(handle_);
        sleep_.stop();
    }

private:
    Io& io_;
    Operation<void> sleep_;
    callbacks::TimerHandle handle_;
};

/// Returns a promise that is fulfilled after `delay`. Nothing can stop it.
inline Promise<void> sleep(Io& io, Duration delay) {
    const Deferred<void> deferred(io.jobs);
    ++io.waiting;
    io.loop.call_later(delay, io.with_jobs([&io, deferred] {
        --io.waiting;
        deferred.resolve();
    }));
    return deferred.promise();
}

/// A connected, non-blocking socket. If the connection breaks, its operations
/// are rejected with a std::system_error.
class Socket {
public:
    /// Takes over `socket`. Throws std::system_error if the system cannot watch
    /// more descriptors (epoll_ctl(2), ENOSPC).
    Socket(Io& io, common::Descriptor socket)
        : io_(io),
          socket_(std::move(socket)),
          read_(io),
          write_(io),
          last_activity_(io.loop.now()) {
        add_reader();
    }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    ~Socket() { close(); }

    /// Returns a promise of the number of bytes read into `buffer`: fulfilled
    /// as soon as there are any, and with 0 at the end of input. `buffer` must
    /// stay valid until then.
    Promise<std::size_t> read_some(std::span<char> buffer) {
        return read_.start([&] {
            buffer_ = buffer;
            if (!socket_) {
                errno = EBADF;
                read_.fail("cannot read from a socket that was closed");
            } else if (!has_reader_) {
                add_reader();
            }
        });
    }

    /// Returns a promise that is fulfilled when the kernel has taken all of
    /// `data`, which must stay valid until then.
    Promise<void> write_all(std::span<const char> data) {
        return write_.start([&] {
            unsent_ = data;
            // The kernel's buffer nearly always has room, and this is all.
            write_now();
            if (write_) {
                io_.loop.add_writer(fd(), io_.with_jobs([this] {
                    write_now();
                    if (!write_) io_.loop.remove_writer(fd());
                }));
            }
        });
    }

    /// Returns when bytes were last read or written.
    [[nodiscard]] TimePoint last_activity() const { return last_activity_; }

    /// Stops the operations that are under way. Later ones are rejected with
    /// EBADF.
    void close() {
        if (!socket_) return;
        // Their handlers may own this socket: they are destroyed last.
        const auto reading = read_.stop();
        const auto writing = write_.stop();
        // Before the descriptor is closed: epoll goes on watching a connection
        // of which another descriptor is open, such as a duplicate.
        io_.loop.remove_reader(fd());
        io_.loop.remove_writer(fd());
        socket_.close();
    }

private:
    void add_reader() {
        io_.loop.add_reader(fd(), io_.with_jobs([this] { read_now(); }));
        has_reader_ = true;
    }

    void read_now() {
        if (!read_) {
            // Data has come, and no read is under way. Only now is the reader
            // removed: while each read is followed by the next one, it stays,
            // and a request costs no epoll_ctl().
            io_.loop.remove_reader(fd());
            has_reader_ = false;
            return;
        }
        const ssize_t count = ::read(fd(), buffer_.data(), buffer_.size());
        // epoll is level-triggered here, so this will be called again.
        if (count < 0 && is_transient()) return;
        if (count < 0) return read_.fail("cannot read from a client");
        last_activity_ = io_.loop.now();
        read_.resolve(static_cast<std::size_t>(count));
    }

    void write_now() {
        const ssize_t count = ::write(fd(), unsent_.data(), unsent_.size());
        if (count > 0) {
            // The kernel may take only a part.
            unsent_ = unsent_.subspan(static_cast<std::size_t>(count));
            last_activity_ = io_.loop.now();
        }
        if (count < 0 && !is_transient()) {
            write_.fail("cannot write to a client");
        } else if (unsent_.empty()) {
            write_.resolve();
        }
    }

    /// EAGAIN: not now. EINTR: a signal came first. Neither loses anything.
    static bool is_transient() { return errno == EAGAIN || errno == EINTR; }

    [[nodiscard]] int fd() const { return socket_.fd(); }

    Io& io_;
    common::Descriptor socket_;
    Operation<std::size_t> read_;
    std::span<char> buffer_;
    bool has_reader_ = false;
    Operation<void> write_;
    std::span<const char> unsent_;
    TimePoint last_activity_;
};

/// Accepts one client after another.
class Acceptor {
public:
    /// `listener` is not owned, and must be non-blocking.
    Acceptor(Io& io, common::Listener& listener)
        : io_(io), listener_(listener), accept_(io) {
        add_reader();
    }
    Acceptor(const Acceptor&) = delete;
    Acceptor& operator=(const Acceptor&) = delete;
    ~Acceptor() {
        io_.loop.remove_reader(listener_.fd());
        io_.loop.cancel(pause_);
    }

    /// Returns a promise of the next client. A client that cannot be accepted
    /// is skipped.
    Promise<common::Descriptor> accept() {
        return accept_.start([&] {
            if (!has_reader_) add_reader();
        });
    }

private:
    void add_reader() {
        io_.loop.add_reader(listener_.fd(),
                            io_.with_jobs([this] { accept_now(); }));
        has_reader_ = true;
    }

    void remove_reader() {
        io_.loop.remove_reader(listener_.fd());
        has_reader_ = false;
    }

    void accept_now() {
        // A connection is pending, but no accept() is under way.
        if (!accept_) return remove_reader();
        if (common::Descriptor client = listener_.accept()) {
            accept_.resolve(std::move(client));
        } else if (listener_.paused()) {
            // The listener stays readable, but accept(2) fails: pause instead
            // of spinning.
            remove_reader();
            pause_ = io_.loop.call_later(listener_.pause(), [this] {
                accept_.attempt([&] { add_reader(); });
            });
        }
    }

    Io& io_;
    common::Listener& listener_;
    Operation<common::Descriptor> accept_;
    bool has_reader_ = false;
    callbacks::TimerHandle pause_;
};

}  // namespace promises
