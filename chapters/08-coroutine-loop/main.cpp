// Chapter 08: the server of chapter 01, with co_await in front of the calls
// that wait.
#include <csignal>
#include <cstdint>
#include <utility>

#include "chapters/05-callback-loop/signals.hpp"
#include "chapters/08-coroutine-loop/accept_connect.hpp"
#include "chapters/08-coroutine-loop/conversation.hpp"
#include "chapters/08-coroutine-loop/event_loop.hpp"
#include "chapters/08-coroutine-loop/socket.hpp"
#include "common/command_line.hpp"
#include "common/listener.hpp"
#include "common/service_options.hpp"

namespace {

using callbacks::Signals;
using common::Listener;
using common::ServiceOptions;
using coroutines::EventLoop;
using coroutines::Socket;
using coroutines::Task;

/// Takes in one client after the other; each is talked to by a task of its own.
Task<> serve(EventLoop& loop, Listener& listener,
             const ServiceOptions& options) {
    while (true) {
        Socket client = co_await accept(loop, listener);
        loop.spawn("client", converse(loop, options, std::move(client)));
    }
}

/// Ends the loop when the process is told to end.
Task<> stop_on_signal(EventLoop& loop, const Signals& signals) {
    co_await loop.until_readable(signals.fd());
    loop.stop();
}

int run(std::uint16_t port, const ServiceOptions& options) {
    common::raise_descriptor_limit();
    const Signals signals{SIGINT, SIGTERM};
    Listener listener(port, Listener::Mode::non_blocking);
    EventLoop loop;
    loop.spawn("server", serve(loop, listener, options));
    loop.spawn("signals", stop_on_signal(loop, signals));
    listener.announce();
    loop.run();
    // The loop destroys whatever still waits
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    std::uint16_t port = 7000;
    ServiceOptions options;
    return common::run_program(
        argc, argv, "08-coroutine-loop", "Echoes, with coroutines that wait.",
        {common::port_option(port), common::idle_timeout_option(options),
         common::reply_delay_option(options)},
        [&] { return run(port, options); });
}
