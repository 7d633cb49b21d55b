// Reading, writing, accepting and sleeping as promises, on chapter 05's loop.
//
// Who starts an operation keeps the object that it belongs to (a Socket, an
// Acceptor, a Timer). A promise cannot be stopped, but they can: then what
// they promised stays pending for ever, and the handlers that wait for it are
// destroyed.
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

/// An event loop and the job queue of its promises.
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
    // While the loop is still there: handlers may own sockets
    ~Io() { jobs.clear(); }

    static constexpr std::size_t max_jobs_per_callback = 1000;

    /// Returns a callback for the loop: it calls `callback`, and then runs the
    /// jobs, up to max_jobs_per_callback of them. The rest runs in the next
    /// turn, and so does all of it if `callback` throws.
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

    // Both before the loop, so that they outlive it: its callbacks own promises
    // and operations.
    JobQueue jobs;
    // Operations that have begun and neither ended nor been stopped
    std::size_t waiting = 0;
    callbacks::EventLoop loop;

private:
    void run_jobs_next_turn() {
        if (std::exchange(queued_, true)) return;
        loop.call_soon(with_jobs([this] { queued_ = false; }));
    }

    bool in_callback_ = false;
    // A task that runs jobs is in the loop's queue
    bool queued_ = false;
};

/// An operation that is under way: at most one at a time.
template <typename T>
class Operation {
public:
    explicit Operation(Io& io) : io_(io) {}
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;
    ~Operation() { stop(); }

    explicit operator bool() const { return deferred_.has_value(); }

    /// Throws std::logic_error if one is under way.
    Promise<T> start() {
        if (deferred_)
            throw std::logic_error("this was asked for twice at the same time");
        ++io_.waiting;
        return deferred_.emplace(io_.jobs).promise();
    }

    template <typename... Value>
    void resolve(Value&&... value) {
        take()->resolve(std::forward<Value>(value)...);
    }

    /// Rejects with what errno says; `what` names the attempt.
    void fail(const char* what) {
        take()->reject(std::system_error(errno, std::generic_category(), what));
    }

    void stop() {
        if (deferred_) take();
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

    /// Fulfilled at `due`, not before.
    Promise<void> sleep_until(TimePoint due) {
        Promise<void> promise = sleep_.start();
        timer_ =
            io_.loop.call_at(due, io_.with_jobs([this] { sleep_.resolve(); }));
        return promise;
    }

    void stop() {
        io_.loop.cancel(timer_);
        sleep_.stop();
    }

private:
    Io& io_;
    Operation<void> sleep_;
    callbacks::TimerHandle timer_;
};

/// Fulfilled when `delay` has passed. Nothing can stop it.
inline Promise<void> sleep(Io& io, Duration delay) {
    const Deferred<void> deferred(io.jobs);
    ++io.waiting;
    io.loop.call_later(delay, io.with_jobs([&io, deferred] {
        --io.waiting;
        deferred.resolve();
    }));
    return deferred.promise();
}

/// A connected, non-blocking socket. Its operations are rejected with a
/// std::system_error when the connection is broken.
class Socket {
public:
    /// Takes over `socket`. Throws std::system_error (the system cannot watch
    /// more).
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

    /// Fulfilled with how many bytes it has put into `buffer`, as soon as there
    /// are any; with 0 at the end of input. `buffer` must stay until then.
    Promise<std::size_t> read_some(std::span<char> buffer) {
        Promise<std::size_t> promise = read_.start();
        room_ = buffer;
        if (!socket_) {
            errno = EBADF;
            read_.fail("cannot read from a socket that was closed");
        } else if (!watches_) {
            add_reader();
        }
        return promise;
    }

    /// Fulfilled when the kernel has taken all of `data`, which must stay until
    /// then.
    Promise<void> write_all(std::span<const char> data) {
        Promise<void> promise = write_.start();
        rest_ = data;
        // Nearly always there is room, and that was all
        write_now();
        if (write_) {
            io_.loop.add_writer(fd(), io_.with_jobs([this] {
                write_now();
                if (!write_) io_.loop.remove_writer(fd());
            }));
        }
        return promise;
    }

    /// When bytes were read or written for the last time.
    [[nodiscard]] TimePoint last_activity() const { return last_activity_; }

    /// Stops what is under way. Reading and writing are rejected (EBADF) from
    /// now on.
    void close() {
        if (!socket_) return;
        io_.loop.remove_reader(fd());
        io_.loop.remove_writer(fd());
        socket_.close();
        read_.stop();
        write_.stop();
    }

private:
    void add_reader() {
        io_.loop.add_reader(fd(), io_.with_jobs([this] { read_now(); }));
        watches_ = true;
    }

    void read_now() {
        if (!read_) {
            // There is data, and nobody wants it yet. Only now is the watcher
            // removed: while every read is followed by the next one it stays,
            // and no request costs an epoll_ctl().
            io_.loop.remove_reader(fd());
            watches_ = false;
            return;
        }
        const ssize_t count = ::read(fd(), room_.data(), room_.size());
        // Level-triggered: we shall be called again
        if (count < 0 && is_transient()) return;
        if (count < 0) return read_.fail("cannot read from a client");
        last_activity_ = io_.loop.now();
        read_.resolve(static_cast<std::size_t>(count));
    }

    void write_now() {
        const ssize_t count = ::write(fd(), rest_.data(), rest_.size());
        if (count > 0) {
            // May be less than asked for
            rest_ = rest_.subspan(static_cast<std::size_t>(count));
            last_activity_ = io_.loop.now();
        }
        if (count < 0 && !is_transient()) {
            write_.fail("cannot write to a client");
        } else if (rest_.empty()) {
            write_.resolve();
        }
    }

    /// EAGAIN: not now. EINTR: a signal came first. Neither loses anything.
    static bool is_transient() { return errno == EAGAIN || errno == EINTR; }

    [[nodiscard]] int fd() const { return socket_.fd(); }

    Io& io_;
    common::Descriptor socket_;
    Operation<std::size_t> read_;
    std::span<char> room_;
    bool watches_ = false;
    Operation<void> write_;
    std::span<const char> rest_;
    TimePoint last_activity_;
};

/// Accepts one client after the other.
class Acceptor {
public:
    /// `listener` is not owned; it is non-blocking.
    Acceptor(Io& io, common::Listener& listener)
        : io_(io), listener_(listener), accept_(io) {
        watch();
    }
    Acceptor(const Acceptor&) = delete;
    Acceptor& operator=(const Acceptor&) = delete;
    ~Acceptor() {
        io_.loop.remove_reader(listener_.fd());
        io_.loop.cancel(pause_);
    }

    /// Fulfilled with the next client. Clients that cannot be accepted are
    /// none.
    Promise<common::Descriptor> accept() {
        Promise<common::Descriptor> promise = accept_.start();
        if (!watches_) watch();
        return promise;
    }

private:
    void watch() {
        io_.loop.add_reader(listener_.fd(),
                            io_.with_jobs([this] { accept_now(); }));
        watches_ = true;
    }

    void stop_watching() {
        io_.loop.remove_reader(listener_.fd());
        watches_ = false;
    }

    void accept_now() {
        // Clients wait, but nobody wants them yet
        if (!accept_) return stop_watching();
        if (common::Descriptor client = listener_.accept()) {
            accept_.resolve(std::move(client));
        } else if (listener_.paused()) {
            // Readable, but not to be accepted from: do not spin
            stop_watching();
            pause_ =
                io_.loop.call_later(listener_.pause(), [this] { watch(); });
        }
    }

    Io& io_;
    common::Listener& listener_;
    Operation<common::Descriptor> accept_;
    bool watches_ = false;
    callbacks::TimerHandle pause_;
};

}  // namespace promises
