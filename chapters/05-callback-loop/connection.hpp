// The conversation with one client, written with callbacks.
#pragma once

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <memory>
#include <utility>

#include "chapters/05-callback-loop/event_loop.hpp"
#include "common/descriptor.hpp"
#include "common/service_options.hpp"

namespace callbacks {

/// Chapter 01's loop around read() and write() is cut into pieces wherever it
/// would wait. Each piece does one step and says which one is called next:
///
///     read_request --(reply delay)--> send_reply --all is sent--> read_request
///          |                           |    |  ^
///          | end of input, error       |    +--+ when there is room
///          |                     error |         (the client reads slowly)
///          v                           |
///        finish <----------------------+
///          ^
///          +--- check_idle: no byte has moved for too long
///
/// As in chapter 02, the connection either reads or writes, never both, with
/// one fixed buffer.
class Connection {
public:
    /// Takes over `socket`, which is connected and non-blocking. Does not own
    /// `loop`. Calls `on_finished` once, when the conversation is over;
    /// `on_finished` may destroy the connection.
    Connection(EventLoop& loop, common::Descriptor socket,
               const common::ServiceOptions& options, Callback on_finished)
        : loop_(loop),
          socket_(std::move(socket)),
          options_(options),
          on_finished_(std::move(on_finished)) {}

    /// Takes all callbacks back from the loop, in any state.
    ~Connection() {
        wait_for(Event::nothing);
        loop_.cancel(reply_timer_);
        loop_.cancel(idle_timer_);
    }

    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// Begins the conversation. Throws std::system_error if the system cannot
    /// watch any more descriptors.
    void start() {
        wait_for(Event::readable);
        record_activity();
        if (options_.idle_timeout.count() > 0) check_idle();
    }

private:
    enum class Event { nothing, readable, writable };

    void read_request() {
        const ssize_t count = ::read(fd(), buffer_->data(), buffer_->size());
        // The loop is level-triggered and will call again.
        if (count < 0 && is_transient()) return;
        // An error, or the end of input: no reply is pending.
        if (count <= 0) {
            finish();
            return;
        }
        sent_ = 0;
        end_ = static_cast<std::size_t>(count);
        // Until the reply is due, the silence is not the client's.
        record_activity(options_.reply_delay);
        if (options_.reply_delay.count() == 0) {
            send_reply();
        } else {
            // One reply at a time: do not read meanwhile.
            wait_for(Event::nothing);
            reply_timer_ = loop_.call_later(options_.reply_delay,
                                            guarded(&Connection::send_reply));
        }
    }

    void send_reply() {
        const ssize_t count =
            ::write(fd(), buffer_->data() + sent_, end_ - sent_);
        if (count < 0 && !is_transient()) {
            finish();
            return;
        }
        if (count > 0) {
            // write() may take only a part.
            sent_ += static_cast<std::size_t>(count);
            record_activity();
        }
        wait_for(sent_ == end_ ? Event::readable : Event::writable);
    }

    /// Records that the client is not idle now, and does not count as idle for
    /// the time `excused` either. Costs no timer operation, and without an idle
    /// timeout not even a look at the clock.
    void record_activity(Duration excused = {}) {
        if (options_.idle_timeout.count() > 0)
            last_activity_ = later(loop_.now(), excused);
    }

    /// The callback of the one idle timer. Bytes that move do not move the
    /// timer: when it fires, it computes how long the client has really been
    /// idle, and sets itself again for the rest of the time.
    void check_idle() {
        const TimePoint due = later(last_activity_, options_.idle_timeout);
        if (due <= loop_.now()) {
            finish();
        } else {
            idle_timer_ = loop_.call_at(due, guarded(&Connection::check_idle));
        }
    }

    /// Tells the loop which event to wait for from now on. This rarely changes,
    /// so it costs no system call for each request.
    void wait_for(Event event) {
        if (event == awaited_) return;
        if (event == Event::readable)
            loop_.add_reader(fd(), guarded(&Connection::read_request));
        if (event == Event::writable)
            loop_.add_writer(fd(), guarded(&Connection::send_reply));
        if (awaited_ == Event::readable) loop_.remove_reader(fd());
        if (awaited_ == Event::writable) loop_.remove_writer(fd());
        awaited_ = event;
    }

    /// Returns a callback for one of the functions above. It catches their
    /// exceptions: an exception that reached the loop would end the server
    /// because of one client.
    Callback guarded(void (Connection::*function)()) {
        return [this, function] {
            try {
                (this->*function)();
            } catch (const std::exception& error) {
                std::fprintf(stderr, "lost a client: %s\n", error.what());
                finish();
            }
        };
    }

    /// Ends the conversation. Must be the last call of a step, because it
    /// destroys the connection.
    void finish() {
        // Moved out first: on_finished_ is destroyed together with the
        // connection.
        const Callback on_finished = std::move(on_finished_);
        on_finished();
    }

    /// Neither of these loses data: EAGAIN (not now), EINTR (a signal came).
    static bool is_transient() { return errno == EAGAIN || errno == EINTR; }

    [[nodiscard]] int fd() const { return socket_.fd(); }

    using Buffer = std::array<char, 16 * 1024>;

    EventLoop& loop_;
    common::Descriptor socket_;
    common::ServiceOptions options_;
    Callback on_finished_;

    // Not initialised, so that a client with short lines costs one page of
    // memory (4 kB) and not the whole buffer (16 kB).
    std::unique_ptr<Buffer> buffer_ = std::make_unique_for_overwrite<Buffer>();
    // The bytes [sent_, end_) of buffer_ are still to be written.
    std::size_t sent_ = 0;
    std::size_t end_ = 0;

    Event awaited_ = Event::nothing;
    TimerHandle reply_timer_;
    TimerHandle idle_timer_;
    // Only kept if there is an idle timeout.
    TimePoint last_activity_;
};

}  // namespace callbacks
