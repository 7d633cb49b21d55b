// Chapter 04: the kernel keeps the list of descriptors. A wake-up costs time
// for each descriptor that is ready, not for each one that is watched.
//
// There are two loops: level-triggered ("it is readable") and, with --edge,
// edge-triggered ("it became readable").
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "chapters/02-polling/client.hpp"
#include "chapters/04-epoll/epoll.hpp"
#include "common/command_line.hpp"
#include "common/descriptor.hpp"
#include "common/listener.hpp"

namespace {

using common::Descriptor;
using common::Listener;
using epolling::Epoll;
using polling::Client;

/// A client, and what the loop remembers about its registration with epoll.
struct Registration {
    explicit Registration(Descriptor socket) : client(std::move(socket)) {}

    Client client;
    // Level-triggered: the events that the kernel watches for
    std::uint32_t events = EPOLLIN;
    // Edge-triggered: this client is in the ready list
    bool ready = false;
};

/// All clients and the listener, on one epoll instance.
class Server {
public:
    explicit Server(std::uint16_t port)
        : listener_(port, Listener::Mode::non_blocking) {
        // The null tag stands for the listener, which is level-triggered in
        // both modes
        epoll_.add(listener_.fd(), EPOLLIN, nullptr);
        listener_.announce();
    }

    void run_level_triggered() {
        while (true) {
            for (const epoll_event& event : wait(no_timeout)) {
                if (event.data.ptr == nullptr) {
                    accept(EPOLLIN);
                    continue;
                }
                auto& registration =
                    *static_cast<Registration*>(event.data.ptr);
                registration.client.serve();
                if (!drop_if_finished(registration))
                    update_interest(registration);
            }
        }
    }

    void run_edge_triggered() {
        // An edge is reported once, so a client with work left at the end of
        // its turn has to be remembered here.
        std::vector<Registration*> ready;
        std::vector<Registration*> again;
        while (true) {
            for (const epoll_event& event :
                 wait(ready.empty() ? no_timeout : no_wait)) {
                if (event.data.ptr == nullptr) {
                    // Registered once, for both directions
                    accept(EPOLLIN | EPOLLOUT | EPOLLET);
                    continue;
                }
                auto& registration =
                    *static_cast<Registration*>(event.data.ptr);
                if (!registration.ready) ready.push_back(&registration);
                registration.ready = true;
            }
            for (Registration* registration : ready) {
                // Continue until EAGAIN: before it, another edge is not
                // guaranteed. The bound keeps a client that sends faster than
                // we read from starving the others.
                bool more = true;
                for (int turn = 0; more && turn < 16; ++turn)
                    more = registration->client.serve();
                if (more) {
                    again.push_back(registration);
                } else {
                    registration->ready = false;
                    drop_if_finished(*registration);
                }
            }
            ready.swap(again);
            again.clear();
        }
    }

private:
    static constexpr std::chrono::milliseconds no_timeout{-1};
    static constexpr std::chrono::milliseconds no_wait{0};

    /// Waits for events, but not beyond the end of the listener's pause. During
    /// a pause (no descriptor is left) the listener is not watched: it stays
    /// readable and would end every wait at once.
    std::span<const epoll_event> wait(std::chrono::milliseconds timeout) {
        if (listener_.paused() == listening_) {
            listening_ = !listening_;
            epoll_.modify(listener_.fd(),
                          listening_ ? std::uint32_t{EPOLLIN} : 0, nullptr);
        }
        if (!listening_ && timeout == no_timeout) timeout = listener_.pause();
        return epoll_.wait(timeout);
    }

    void accept(std::uint32_t events) {
        Descriptor socket = listener_.accept();
        if (!socket) return;
        const int fd = socket.fd();
        Registration& registration =
            clients_.try_emplace(fd, std::move(socket)).first->second;
        try {
            epoll_.add(fd, events, &registration);
        } catch (const std::exception& error) {
            // The system's limit on watched descriptors (epoll(7)); erasing
            // the client closes its connection
            std::fprintf(stderr, "refusing a client: %s\n", error.what());
            clients_.erase(fd);
        }
    }

    /// Makes the kernel watch for what the client's state waits for; a system
    /// call only when that changes. Never both directions: a socket is nearly
    /// always writable, and that would end every wait at once.
    void update_interest(Registration& registration) {
        const std::uint32_t events =
            registration.client.state() == Client::State::writing ? EPOLLOUT
                                                                  : EPOLLIN;
        if (events == registration.events) return;
        registration.events = events;
        epoll_.modify(registration.client.fd(), events, &registration);
    }

    /// Returns true if the client was finished: then `registration` is gone.
    bool drop_if_finished(Registration& registration) {
        if (registration.client.state() != Client::State::finished)
            return false;
        const int fd = registration.client.fd();
        // Closing would do, unless a duplicate of the descriptor is open
        // elsewhere: epoll would still report it, with a tag of what is gone.
        epoll_.remove(fd);
        clients_.erase(fd);
        return true;
    }

    Listener listener_;
    Epoll epoll_;
    // By descriptor. The elements never move: epoll's tags point to them.
    std::unordered_map<int, Registration> clients_;
    // False while the listener is paused and not watched
    bool listening_ = true;
};

}  // namespace

int main(int argc, char** argv) {
    std::uint16_t port = 7000;
    bool edge = false;
    return common::run_program(
        argc, argv, "04-epoll",
        "Echoes, and lets epoll report which clients are ready.",
        {common::port_option(port),
         {"--edge", "", "edge-triggered instead of level-triggered",
          [&](std::string_view) { edge = true; }}},
        [&] {
            common::raise_descriptor_limit();
            Server server(port);
            edge ? server.run_edge_triggered() : server.run_level_triggered();
            return 0;
        });
}
