// Chapter 02: no client waits for another, because no call blocks. The server
// polls every client in turn, forever.
#include <cstdint>
#include <utility>
#include <vector>

#include "chapters/02-polling/client.hpp"
#include "common/command_line.hpp"
#include "common/descriptor.hpp"
#include "common/listener.hpp"

namespace {

using common::Descriptor;
using common::Listener;
using polling::Client;

int serve(std::uint16_t port) {
    Listener listener(port, Listener::Mode::non_blocking);
    listener.announce();
    std::vector<Client> clients;
    while (true) {
        if (!listener.paused()) {
            if (Descriptor socket = listener.accept())
                clients.emplace_back(std::move(socket));
        }
        for (Client& client : clients) client.serve();
        std::erase_if(clients, [](const Client& client) {
            return client.state() == Client::State::finished;
        });
    }
}

}  // namespace

int main(int argc, char** argv) {
    std::uint16_t port = 7000;
    return common::run_program(argc, argv, "02-polling",
                               "Echoes by polling every client in turn.",
                               {common::port_option(port)}, [&] {
                                   common::raise_descriptor_limit();
                                   return serve(port);
                               });
}
