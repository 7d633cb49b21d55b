// Chapter 05: an echo server made of callbacks, on an event loop that knows
// nothing about echoing.
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <unordered_map>
#include <utility>

#include "chapters/05-callback-loop/connection.hpp"
#include "chapters/05-callback-loop/event_loop.hpp"
#include "chapters/05-callback-loop/signals.hpp"
#include "common/command_line.hpp"
#include "common/descriptor.hpp"
#include "common/listener.hpp"
#include "common/service_options.hpp"

namespace {

using callbacks::Connection;
using callbacks::Duration;
using callbacks::EventLoop;
using callbacks::Signals;
using common::Descriptor;
using common::Listener;
using common::ServiceOptions;

/// Owns the listener and every connection. The loop owns only callbacks that
/// point to them, and it must outlive the server.
class Server {
public:
    Server(EventLoop& loop, std::uint16_t port, const ServiceOptions& options)
        : loop_(loop),
          options_(options),
          listener_(port, Listener::Mode::non_blocking) {
        listen();
        listener_.announce();
    }

    ~Server() {
        loop_.remove_reader(listener_.fd());
        loop_.cancel(pause_timer_);
    }

    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

private:
    void listen() {
        loop_.add_reader(listener_.fd(), [this] { accept(); });
    }

    void accept() {
        Descriptor socket = listener_.accept();
        if (socket) {
            welcome(std::move(socket));
        } else if (listener_.paused()) {
            // Out of descriptors. The listener stays readable, so stop
            // watching it for a while: the loop would spin.
            loop_.remove_reader(listener_.fd());
            pause_timer_ =
                loop_.call_later(listener_.pause(), [this] { listen(); });
        }
    }

    void welcome(Descriptor socket) {
        const int fd = socket.fd();
        const auto place =
            connections_.try_emplace(fd, loop_, std::move(socket), options_,
                                     [this, fd] { connections_.erase(fd); });
        try {
            place.first->second.start();
        } catch (const std::exception& error) {
            // The system's limit on watched descriptors (epoll(7)).
            std::fprintf(stderr, "refusing a client: %s\n", error.what());
            connections_.erase(fd);
        }
    }

    EventLoop& loop_;
    ServiceOptions options_;
    Listener listener_;
    callbacks::TimerHandle pause_timer_;
    // By descriptor number.
    std::unordered_map<int, Connection> connections_;
};

void report_slow_callback(Duration held_up) {
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
        argc, argv, "05-callback-loop", "Echoes, called back by an event loop.",
        {common::port_option(port), common::idle_timeout_option(options),
         common::reply_delay_option(options)},
        [&] {
            common::raise_descriptor_limit();
            const Signals signals{SIGINT, SIGTERM};
            EventLoop loop;
            loop.report_slow_callbacks(std::chrono::milliseconds(100),
                                       report_slow_callback);
            loop.add_reader(signals.fd(), [&] { loop.stop(); });
            const Server server(loop, port, options);
            loop.run();
            return 0;
        });
}
