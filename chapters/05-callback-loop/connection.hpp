// One client's conversation, written with callbacks.
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

/// What was a loop around read() and write() in chapter 01 is cut where it
/// would wait. Each piece does one step and says which one is to be called
/// next:
///
///     read_request --(reply delay)--> send_reply --all is sent--> read_request
///          |                           |     ^
///          | end of input, error       |     +-- when there is room (the
///          client reads slowly) v                           v error
///        finish <----------------------+------------ check_idle (nothing
///        moved for too long)
///
/// It is either read from or written to, never both, out of one fixed buffer,
/// as in chapter 02.
class Connection {
public:
    /// Takes over `socket`: connected and non-blocking. `on_finished` is called
    /// once, when the conversation is over, and may destroy the connection, as
    /// its owner does.
    Connection(EventLoop& loop, common::Descriptor socket,
               const common::ServiceOptions& options, Callback on_finished)
        : loop_(loop),
          socket_(std::move(socket)),
          options_(options),
          on_finished_(std::move(on_finished)) {}

    /// Can be destroyed in any state: nothing is going to call it then.
    ~Connection() {
        wait_for(Event::nothing);
        loop_.cancel(reply_timer_);
        loop_.cancel(idle_timer_);
    }

    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// Begins the conversation. Throws std::system_error (the system cannot
    /// watch more).
    void start() {
        wait_for(Event::readable);
        record_activity();
        if (options_.idle_timeout.count() > 0) check_idle();
    }

private:
    enum class Event { nothing, readable, writable };

    void read_request() {
        const ssize_t count = ::read(fd(), buffer_->data(), buffer_->size());
        // Level-triggered: we shall be called again
        if (count < 0 && is_transient()) return;
        // End of input, and nothing is owed; or an error
        if (count <= 0) {
            finish();
            return;
        }
        sent_ = 0;
        end_ = static_cast<std::size_t>(count);
        // Until the reply is due it is we who are silent
        record_activity(options_.reply_delay);
        if (options_.reply_delay.count() == 0) {
            send_reply();
        } else {
            // One reply at a time
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
            // May be less than asked for
            sent_ += static_cast<std::size_t>(count);
            record_activity();
        }
        wait_for(sent_ == end_ ? Event::readable : Event::writable);
    }

    /// The client was not silent just now, nor is it before `excused` is over.
    /// Costs no timer operation, and without a time-out not even a look at the
    /// clock.
    void record_activity(Duration excused = {}) {
        if (options_.idle_timeout.count() > 0)
            last_activity_ = loop_.now() + excused;
    }

    /// The one timer for silence. It stays where it is when bytes move: when it
    /// fires, it finds out since when there is silence, and sets itself again
    /// for the rest of the time.
    void check_idle() {
        const TimePoint due = last_activity_ + options_.idle_timeout;
        if (due <= loop_.now()) {
            finish();
        } else {
            idle_timer_ = loop_.call_at(due, guarded(&Connection::check_idle));
        }
    }

    /// Asks the loop for another event than up to now. It rarely changes: no
    /// system call a request.
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

    /// A callback for one of the functions above. What they throw must end
    /// here: their caller is the loop, and it would end the server for the sake
    /// of one client.
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

    /// Must be the last thing that a step does: afterwards there is no
    /// connection any more.
    void finish() {
        // Moved out first: on_finished_ is destroyed together with the
        // connection.
        const Callback on_finished = std::move(on_finished_);
        on_finished();
    }

    /// EAGAIN: not now. EINTR: a signal came first. Neither loses anything.
    static bool is_transient() { return errno == EAGAIN || errno == EINTR; }

    [[nodiscard]] int fd() const { return socket_.fd(); }

    using Buffer = std::array<char, 16 * 1024>;

    EventLoop& loop_;
    common::Descriptor socket_;
    common::ServiceOptions options_;
    Callback on_finished_;

    // Not initialised: an idle client costs a page of memory, not all of them
    // (4 kB, not 16).
    std::unique_ptr<Buffer> buffer_ = std::make_unique_for_overwrite<Buffer>();
    // Buffer_[sent_, end_) is still to be written
    std::size_t sent_ = 0;
    std::size_t end_ = 0;

    Event awaited_ = Event::nothing;
    TimerHandle reply_timer_;
    TimerHandle idle_timer_;
    // Kept only where there is a time-out
    TimePoint last_activity_;
};

}  // namespace callbacks
