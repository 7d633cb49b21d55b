// A listening socket that nothing which clients do can stop.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <thread>

#include "common/descriptor.hpp"
#include "common/error.hpp"

namespace common {

/// Listens on 127.0.0.1 and accepts connections, also when the descriptor table
/// is full.
///
/// It keeps one descriptor in reserve. When the table is full it gives that one
/// up, accepts the client with it and closes the connection at once: the client
/// learns that it was refused, instead of waiting in the queue, where it would
/// keep waking the server up.
class Listener {
public:
    enum class Mode { blocking, non_blocking };

    /// Listens on `port`; 0 takes any free one. Accepted sockets have the same
    /// mode. Throws std::system_error, "cannot listen on 127.0.0.1:PORT: why".
    Listener(std::uint16_t port, Mode mode)
        : mode_(mode), reserve_(open_reserve()) {
        const std::string what =
            "cannot listen on 127.0.0.1:" + std::to_string(port);
        socket_ = Descriptor(
            ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags(), 0));
        if (!socket_) throw_errno(what);

        // A restart works at once, although connections of the last run may
        // still be in TIME_WAIT. It does not let two servers share a port: that
        // would be SO_REUSEPORT.
        set(SOL_SOCKET, SO_REUSEADDR, what);
        // Linux hands these two on to every accepted socket. An answer leaves
        // at once instead of waiting for more to send (Nagle, RFC 896); urgent
        // data (RFC 6093) is data like any other.
        set(IPPROTO_TCP, TCP_NODELAY, what);
        set(SOL_SOCKET, SO_OOBINLINE, what);

        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        auto* generic = reinterpret_cast<sockaddr*>(&address);
        if (::bind(fd(), generic, sizeof address) == -1) throw_errno(what);
        if (::listen(fd(), SOMAXCONN) == -1) throw_errno(what);

        socklen_t size = sizeof address;
        if (::getsockname(fd(), generic, &size) == -1) throw_errno(what);
        port_ = ntohs(address.sin_port);
    }

    [[nodiscard]] int fd() const { return socket_.fd(); }

    /// The port that it listens on, also where 0 was asked for.
    [[nodiscard]] std::uint16_t port() const { return port_; }

    /// Tells whoever started the server that clients can come.
    void announce() const {
        std::printf("listening on 127.0.0.1:%d\n", port_);
        std::fflush(stdout);
    }

    /// The next client that waits. Empty when nobody does, when the client was
    /// gone already, or when it had to be refused: come back when the socket is
    /// readable again, and not while paused(). In blocking mode it sleeps until
    /// a client comes, and through a pause. Throws only what a program can
    /// cause (a descriptor that is not a socket).
    Descriptor accept() {
        if (mode_ == Mode::blocking) wait_for_client();
        if (!reserve_) reserve_ = open_reserve();

        Descriptor client(
            ::accept4(fd(), nullptr, nullptr, SOCK_CLOEXEC | flags()));
        if (client) {
            refusing_ = false;
            return client;
        }
        switch (errno) {
            // Nobody waits
            case EAGAIN:
            // A signal came first
            case EINTR:
            // The client left while it waited
            case ECONNABORTED:
            // accept(2): Linux passes on the errors of the new connection; the
            // listener is fine.
            case EPROTO:
            case ENETDOWN:
            case ENOPROTOOPT:
            case EHOSTDOWN:
            case ENONET:
            case EHOSTUNREACH:
            case EOPNOTSUPP:
            case ENETUNREACH:
            // A firewall rule
            case EPERM:
                return {};
            // This process has no descriptor left
            case EMFILE:
            // The system has no open file left
            case ENFILE:
            case ENOBUFS:
            case ENOMEM:
                refuse();
                return {};
            default:
                throw_errno("cannot accept a client");
        }
    }

    /// How long to leave the listener alone: there is no descriptor, not even
    /// one to refuse with. Zero otherwise.
    [[nodiscard]] std::chrono::milliseconds pause() const {
        using namespace std::chrono;
        // Rounded up: waking a moment early would find the pause still on, and
        // spin until its end.
        return std::max(
            0ms, ceil<milliseconds>(paused_until_ - steady_clock::now()));
    }

    [[nodiscard]] bool paused() const { return pause().count() > 0; }

private:
    [[nodiscard]] int flags() const {
        return mode_ == Mode::non_blocking ? SOCK_NONBLOCK : 0;
    }

    void set(int level, int option, const std::string& what) const {
        const int on = 1;
        if (::setsockopt(fd(), level, option, &on, sizeof on) == -1)
            throw_errno(what);
    }

    /// Sleeps until a client is there. accept4() alone would do while there are
    /// free descriptors. But in a full table it would sleep with the reserve's,
    /// and refuse whoever comes next, although others may have left meanwhile.
    void wait_for_client() const {
        std::this_thread::sleep_for(pause());
        pollfd question{fd(), POLLIN, 0};
        // Ended early by a signal: accept4() sleeps then
        ::poll(&question, 1, -1);
    }

    static Descriptor open_reserve() {
        return Descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    }

    /// Takes the waiting client with the reserve's descriptor and hangs up on
    /// it. errno is accept's.
    void refuse() {
        const int reason = errno;
        reserve_.close();
        // One attempt only: Linux looks for a free descriptor before it looks
        // for a client, so "accept until EAGAIN" would find the table full for
        // ever.
        Descriptor refused(
            ::accept4(fd(), nullptr, nullptr, SOCK_CLOEXEC | flags()));
        const bool queue_empty = !refused && errno == EAGAIN;
        const bool failed = !refused && !queue_empty;
        refused.close();
        reserve_ = open_reserve();

        // The client still waits, the socket is still readable: do not spin on
        // it
        if (failed) {
            paused_until_ = std::chrono::steady_clock::now() +
                            std::chrono::milliseconds(100);
        }
        if (!queue_empty && !refusing_) {
            const std::string why = std::generic_category().message(reason);
            std::fprintf(stderr, "refusing clients: %s\n", why.c_str());
            // One line until somebody is accepted again, not one for each
            // client
            refusing_ = true;
        }
    }

    Mode mode_;
    // Taken first: the lowest number there is
    Descriptor reserve_;
    Descriptor socket_;
    std::uint16_t port_ = 0;
    bool refusing_ = false;
    std::chrono::steady_clock::time_point paused_until_;
};

}  // namespace common
