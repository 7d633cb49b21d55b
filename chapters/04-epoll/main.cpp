// Chapter 04: the kernel keeps the list, and a wake-up costs what happened, not
// what is registration.
//
// Twice: level-triggered ("it is readable") and, with --edge, edge-triggered
// ("it became readable").
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

/// A client, and what the loop has to remember about it.
struct Registration {
    explicit Registration(Descriptor socket) : client(std::move(socket)) {}

    Client client;
    // Level-triggered: what the kernel has been told to watch
    std::uint32_t events = EPOLLIN;
    // Edge-triggered: stands in the list of those that can go on
    bool ready = false;
};

/// All clients and the listener, on one epoll instance.
class Server {
public:
    explicit Server(std::uint16_t port)
        : listener_(port, Listener::Mode::non_blocking) {
        epoll_.add(listener_.fd(), EPOLLIN,
                   // No tag: the listener, always level-triggered
                   nullptr);
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
        // An edge is told once. Whoever had more to do when its turn was over
        // must be remembered.
        std::vector<Registration*> ready;
        std::vector<Registration*> again;
        while (true) {
            for (const epoll_event& event :
                 wait(ready.empty() ? no_timeout : no_wait)) {
                if (event.data.ptr == nullptr) {
                    // Once and for all
                    accept(EPOLLIN | EPOLLOUT | EPOLLET);
                    continue;
                }
                auto& registration =
                    *static_cast<Registration*>(event.data.ptr);
                if (!registration.ready) ready.push_back(&registration);
                registration.ready = true;
            }
            for (Registration* registration : ready) {
                // Until the kernel says EAGAIN: before that, nothing promises
                // another edge. But not for ever: a client that sends faster
                // than we read would never let go.
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

    /// Sleeps, but no longer than the listener's pause: a listener that cannot
    /// accept must not be watched, since it stays readable and would end every
    /// wait at once.
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
            // The system's limit on watches (epoll(7))
            std::fprintf(stderr, "refusing a client: %s\n", error.what());
            clients_.erase(fd);
        }
    }

    /// Tells the kernel only when it changes: a socket is nearly always
    /// writable, so watching for that without anything to write would end every
    /// wait at once.
    void update_interest(Registration& registration) {
        const std::uint32_t events =
            registration.client.state() == Client::State::writing ? EPOLLOUT
                                                                  : EPOLLIN;
        if (events == registration.events) return;
        registration.events = events;
        epoll_.modify(registration.client.fd(), events, &registration);
    }

    bool drop_if_finished(Registration& registration) {
        if (registration.client.state() != Client::State::finished)
            return false;
        // Closes it, which takes it off the kernel's list
        clients_.erase(registration.client.fd());
        return true;
    }

    Listener listener_;
    Epoll epoll_;
    std::unordered_map<int, Registration>
        // By descriptor; the addresses are the kernel's tags
        clients_;
    // The listener is being watched
    bool listening_ = true;
};

}  // namespace

int main(int argc, char** argv) {
    std::uint16_t port = 7000;
    bool edge = false;
    return common::run_program(
        argc, argv, "04-epoll", "Echoes, told by epoll who can go on.",
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
