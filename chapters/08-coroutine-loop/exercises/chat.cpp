// Exercise 08.5: the chat room as a server. Talk to it from two terminals with
// nc localhost 7000
#include <csignal>
#include <cstdint>
#include <utility>

#include "chapters/05-callback-loop/signals.hpp"
#include "chapters/08-coroutine-loop/accept_connect.hpp"
#include "chapters/08-coroutine-loop/event_loop.hpp"
#include "chapters/08-coroutine-loop/exercises/chat_room.hpp"
#include "chapters/08-coroutine-loop/socket.hpp"
#include "common/command_line.hpp"
#include "common/listener.hpp"

namespace {

using callbacks::Signals;
using common::Listener;
using coroutines::ChatRoom;
using coroutines::EventLoop;
using coroutines::Socket;
using coroutines::Task;

/// Accepts clients one after the other; each attends the room in a task of its
/// own.
Task<> open(EventLoop& loop, Listener& listener, ChatRoom& room) {
    while (true) {
        Socket client = co_await accept(loop, listener);
        loop.spawn("member", room.attend(loop, std::move(client)));
    }
}

/// Stops the loop on SIGINT or SIGTERM.
Task<> close_on_signal(EventLoop& loop, const Signals& signals) {
    co_await loop.until_readable(signals.fd());
    loop.stop();
}

int run(std::uint16_t port) {
    common::raise_descriptor_limit();
    const Signals signals{SIGINT, SIGTERM};
    Listener listener(port, Listener::Mode::non_blocking);
    ChatRoom room;
    // Destroyed before the room, with all members that are still in it
    EventLoop loop;
    loop.spawn("door", open(loop, listener, room));
    loop.spawn("signals", close_on_signal(loop, signals));
    listener.announce();
    loop.run();
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    std::uint16_t port = 7000;
    return common::run_program(
        argc, argv, "08-chat", "A chat room, in coroutines.",
        {common::port_option(port)}, [&] { return run(port); });
}
