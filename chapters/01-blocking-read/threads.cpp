// Chapter 01, the obvious first cure: one thread per client.
#include <cstdint>
#include <cstdio>
#include <system_error>
#include <thread>
#include <utility>

#include "chapters/01-blocking-read/echo.hpp"
#include "common/command_line.hpp"
#include "common/descriptor.hpp"
#include "common/listener.hpp"

namespace {

using common::Descriptor;
using common::Listener;

int serve(std::uint16_t port) {
    Listener listener(port, Listener::Mode::blocking);
    listener.announce();
    while (true) {
        Descriptor client = listener.accept();
        if (!client) continue;
        try {
            std::thread([own = std::move(client)] {
                blocking::echo(own.fd());
            }).detach();
        } catch (const std::system_error& error) {
            // The system has no more threads.
            std::fprintf(stderr, "refusing a client: %s\n", error.what());
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    std::uint16_t port = 7000;
    return common::run_program(argc, argv, "01-threads",
                               "Echoes, with one thread per client.",
                               {common::port_option(port)}, [&] {
                                   common::raise_descriptor_limit();
                                   return serve(port);
                               });
}
