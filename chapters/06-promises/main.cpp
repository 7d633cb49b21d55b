// Chapter 06: the same server. An operation returns a promise, and a
// conversation is a chain of them.
#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <span>
#include <system_error>
#include <unordered_set>
#include <utility>

#include "chapters/05-callback-loop/signals.hpp"
#include "chapters/06-promises/combinators.hpp"
#include "chapters/06-promises/io.hpp"
#include "chapters/06-promises/promise.hpp"
#include "common/command_line.hpp"
#include "common/descriptor.hpp"
#include "common/listener.hpp"
#include "common/service_options.hpp"

namespace {

using callbacks::Signals;
using common::Descriptor;
using common::Listener;
using common::ServiceOptions;
using promises::Acceptor;
using promises::Io;
using promises::Promise;
using promises::Socket;
using promises::TimePoint;
using promises::Timer;

/// One client. The handlers of its chains share it, so it lives as long as one
/// of them may run. This is a cycle: the connection owns a socket, whose
/// operation owns the state of a promise, which owns a handler, which owns the
/// connection. close() cuts it.
class Connection : public std::enable_shared_from_this<Connection> {
public:
    Connection(Io& io, Descriptor socket, const ServiceOptions& options)
        : io_(io),
          options_(options),
          socket_(io, std::move(socket)),
          delay_timer_(io),
          idle_timer_(io) {}

    /// Returns a promise that is settled when the conversation is over: the
    /// client has said everything and got every reply, has left, or was silent
    /// for too long.
    Promise<void> run() {
        if (options_.idle_timeout.count() == 0) return converse();
        return promises::race(io_.jobs, std::vector{converse(), until_idle()});
    }

    /// Stops every operation, for a race stops none: its losers are still under
    /// way when it has a winner.
    void close() {
        socket_.close();
        delay_timer_.stop();
        idle_timer_.stop();
    }

private:
    /// while (read()) write();
    Promise<void> converse() {
        return socket_.read_some(*buffer_).then([self = shared_from_this()](
                                                    std::size_t count) {
            if (count == 0) return promises::resolved(self->io_.jobs);
            return self->reply(count).then([self] { return self->converse(); });
        });
    }

    Promise<void> reply(std::size_t count) {
        const std::span<const char> data(buffer_->data(), count);
        if (options_.reply_delay.count() == 0) return socket_.write_all(data);
        // The delay does not count as the client's silence.
        reply_pending_until_ = io_.loop.now() + options_.reply_delay;
        return delay_timer_.sleep_until(reply_pending_until_)
            .then([self = shared_from_this(), data] {
                return self->socket_.write_all(data);
            });
    }

    /// while (!idle for too long) sleep(); One timer, however many bytes are
    /// read and written meanwhile.
    Promise<void> until_idle() {
        const TimePoint due =
            std::max(socket_.last_activity(), reply_pending_until_) +
            options_.idle_timeout;
        if (due <= io_.loop.now()) return promises::resolved(io_.jobs);
        return idle_timer_.sleep_until(due).then(
            [self = shared_from_this()] { return self->until_idle(); });
    }

    using Buffer = std::array<char, 16 * 1024>;

    Io& io_;
    ServiceOptions options_;
    Socket socket_;
    // Not initialised: an idle client costs one page of memory (4 kB), not all
    // four.
    std::unique_ptr<Buffer> buffer_ = std::make_unique_for_overwrite<Buffer>();
    Timer delay_timer_;
    Timer idle_timer_;
    TimePoint reply_pending_until_;
};

/// Owns the listener and every connection. `io` must outlive it.
class Server {
public:
    Server(Io& io, std::uint16_t port, const ServiceOptions& options)
        : io_(io),
          options_(options),
          listener_(port, Listener::Mode::non_blocking),
          acceptor_(io, listener_) {
        listener_.announce();
    }

    ~Server() {
        for (const auto& connection : connections_) connection->close();
    }

    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    /// while (accept()) welcome(); The promise is settled only by an error.
    Promise<void> run() {
        return acceptor_.accept().then([this](Descriptor socket) {
            welcome(std::move(socket));
            return run();
        });
    }

private:
    void welcome(Descriptor socket) try {
        const auto connection =
            std::make_shared<Connection>(io_, std::move(socket), options_);
        connections_.insert(connection);
        connection->run()
            .catch_error(
                [](const std::exception_ptr& error) { log_disconnect(error); })
            .then([this, connection] {
                connection->close();
                connections_.erase(connection);
            });
    } catch (const std::exception& error) {
        // The limit on watched descriptors (epoll(7), max_user_watches)
        std::fprintf(stderr, "refusing a client: %s\n", error.what());
    }

    static void log_disconnect(const std::exception_ptr& error) try {
        std::rethrow_exception(error);
    } catch (const std::system_error&) {
        // The client has left, which is a normal end of a conversation.
    } catch (const std::exception& exception) {
        std::fprintf(stderr, "lost a client: %s\n", exception.what());
    }

    Io& io_;
    ServiceOptions options_;
    Listener listener_;
    Acceptor acceptor_;
    std::unordered_set<std::shared_ptr<Connection>> connections_;
};

void report_slow_callback(promises::Duration held_up) {
    const auto time =
        std::chrono::duration_cast<std::chrono::milliseconds>(held_up);
    std::fprintf(stderr, "a callback held the loop for %lld ms\n",
                 static_cast<long long>(time.count()));
}

}  // namespace

int main(int argc, char** argv) {
    std::uint16_t port = 7000;
    ServiceOptions options;
    return common::run_program(
        argc, argv, "06-promises", "Echoes, as a chain of promises.",
        {common::port_option(port), common::idle_timeout_option(options),
         common::reply_delay_option(options)},
        [&] {
            common::raise_descriptor_limit();
            const Signals signals{SIGINT, SIGTERM};
            Io io;
            io.loop.report_slow_callbacks(std::chrono::milliseconds(100),
                                          report_slow_callback);
            io.loop.add_reader(signals.fd(), [&] { io.loop.stop(); });
            Server server(io, port, options);
            std::exception_ptr failure;
            server.run().catch_error([&](const std::exception_ptr& error) {
                failure = error;
                io.loop.stop();
            });
            io.loop.run();
            if (failure) std::rethrow_exception(failure);
            return 0;
        });
}
