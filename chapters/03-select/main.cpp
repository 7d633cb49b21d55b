// Chapter 03: ask the kernel once about all clients, and sleep until one of
// them is ready.
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <utility>
#include <vector>

#include "chapters/02-polling/client.hpp"
#include "chapters/03-select/select_set.hpp"
#include "common/command_line.hpp"
#include "common/descriptor.hpp"
#include "common/listener.hpp"

namespace {

using common::Descriptor;
using common::Listener;
using polling::Client;
using selecting::SelectSet;

/// Returns the question for the kernel: which clients have sent something, and
/// which of the clients that we owe bytes have room for them?
///
/// A listener that is paused() is not in the question. It has found no
/// descriptor left, not even to refuse a client, so it stays readable and would
/// end every wait at once. Its pause() is the timeout of the wait instead.
SelectSet interest_in(const Listener& listener,
                      const std::vector<Client>& clients) {
    SelectSet set;
    if (!listener.paused()) set.add_reader(listener.fd());
    for (const Client& client : clients) {
        if (client.state() == Client::State::writing) {
            set.add_writer(client.fd());
        } else {
            set.add_reader(client.fd());
        }
    }
    return set;
}

/// Echoes what the clients send; ends only by a signal. A client whose
/// descriptor select cannot hold is refused: its connection is closed. A line
/// on stderr begins with "refusing clients", once for all that are refused
/// until a client is accepted again.
int serve(std::uint16_t port) {
    Listener listener(port, Listener::Mode::non_blocking);
    if (!SelectSet::can_hold(listener.fd())) {
        throw std::runtime_error(
            "cannot watch the listener: select takes no descriptor above 1023");
    }
    listener.announce();
    std::vector<Client> clients;
    bool refusing = false;
    while (true) {
        SelectSet set = interest_in(listener, clients);
        set.wait(listener.pause());

        for (Client& client : clients) {
            if (set.is_ready(client.fd())) client.serve();
        }
        if (set.is_ready(listener.fd())) {
            // EXERCISE 03.2
            Descriptor socket = listener.accept();
            if (socket && SelectSet::can_hold(socket.fd())) {
                clients.emplace_back(std::move(socket));
                refusing = false;
            } else if (socket && !refusing) {
                // Leaving this block closes `socket`: the client sees that it
                // is refused. One line on stderr for all that are refused.
                std::fprintf(stderr,
                             "refusing clients: select takes no descriptor "
                             "above 1023\n");
                refusing = true;
            }
            // END 03.2
        }
        std::erase_if(clients, [](const Client& client) {
            return client.state() == Client::State::finished;
        });
    }
}

}  // namespace

int main(int argc, char** argv) {
    std::uint16_t port = 7000;
    return common::run_program(
        argc, argv, "03-select",
        "Echoes, and sleeps in select() until a client is ready.",
        {common::port_option(port)}, [&] {
            common::raise_descriptor_limit();
            return serve(port);
        });
}
