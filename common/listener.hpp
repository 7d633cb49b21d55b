// A listening socket that no client can stop.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <thread>

#include "common/descriptor.hpp"
#include "common/error.hpp"

namespace common {

/// Returns true if accept(2) failed with `error` because of the next connection
/// in the queue, or of a signal: the other connections can be accepted. On
/// Linux, accept also returns the network's errors of the new connection
/// (accept(2), "Error handling").
inline bool concerns_one_client(int error) {
    switch (error) {
        case EINTR:         // a signal came first
        case ECONNABORTED:  // the client left the queue
        case EPROTO:
        case ENETDOWN:
        case ENOPROTOOPT:
        case EHOSTDOWN:
        case ENONET:
        case EHOSTUNREACH:
        case EOPNOTSUPP:
        case ENETUNREACH:
        case ETIMEDOUT:
        case EPROTONOSUPPORT:
        case ESOCKTNOSUPPORT:
        case EPERM:  // a firewall rule
            return true;
        default:
            return false;
    }
}

/// Listens on 127.0.0.1 and accepts connections, even when the descriptor table
/// is full.
///
/// It keeps one descriptor in reserve. When the table is full, it gives that
/// one up, uses it to accept the client, and closes the connection at once. So
/// the client learns that it was refused, instead of staying in the queue,
/// where it would keep waking the server.
class Listener {
public:
    enum class Mode { blocking, non_blocking };

    /// Listens on `port`; 0 means any free port. Accepted sockets have the same
    /// mode. Throws std::system_error, "cannot listen on 127.0.0.1:PORT: why".
    Listener(std::uint16_t port, Mode mode)
        : mode_(mode), reserve_(open_reserve()) {
        const std::string what =
            "cannot listen on 127.0.0.1:" + std::to_string(port);
        socket_ = Descriptor(
            ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags(), 0));
        if (!socket_) throw_errno(what);

        // Lets the server restart while connections of its last run are still
        // in TIME_WAIT. It does not let two servers share a port (that would be
        // SO_REUSEPORT).
        set(SOL_SOCKET, SO_REUSEADDR, what);
        // On Linux, every accepted socket inherits these two: send small
        // packets at once (no Nagle, RFC 896), and deliver urgent data
        // (RFC 6093) in line.
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

    /// Returns the port; if 0 was asked for, the one that the kernel chose.
    [[nodiscard]] std::uint16_t port() const { return port_; }

    /// Prints "listening on 127.0.0.1:PORT": clients can connect now.
    void announce() const {
        std::printf("listening on 127.0.0.1:%d\n", port_);
        std::fflush(stdout);
    }

    /// Accepts the next client in the queue. Returns an empty Descriptor if the
    /// queue is empty, or if that client has left or had to be refused: call
    /// again when the socket is readable, but not while paused(). In blocking
    /// mode it sleeps until a client connects, and through a pause. Throws
    /// std::system_error only for bugs (a descriptor that is not a socket).
    Descriptor accept() {
        if (mode_ == Mode::blocking) wait_for_client();
        if (!reserve_) reserve_ = open_reserve();

        Descriptor client(
            ::accept4(fd(), nullptr, nullptr, SOCK_CLOEXEC | flags()));
        if (client) {
            refusing_ = false;
            return client;
        }
        // EAGAIN: the queue is empty
        if (errno == EAGAIN || concerns_one_client(errno)) return {};
        switch (errno) {
            case EMFILE:  // this process has no descriptor left
            case ENFILE:  // the system has no open file left
            case ENOBUFS:
            case ENOMEM:
            case ENOSR:
                refuse();
                return {};
            default:
                throw_errno("cannot accept a client");
        }
    }

    /// Returns how long the caller must leave the listener alone because no
    /// descriptor is left, not even to refuse a client. Usually zero.
    [[nodiscard]] std::chrono::milliseconds pause() const {
        using namespace std::chrono;
        // Rounded up: a caller that woke early would spin until the end.
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

    /// Sleeps until a client is in the queue. accept4() would do that too, but
    /// with a full table, refuse() would then sleep in it holding the reserve's
    /// number, and refuse the next client even if others have left meanwhile.
    void wait_for_client() const {
        std::this_thread::sleep_for(pause());
        pollfd question{fd(), POLLIN, 0};
        // After a signal, accept4() sleeps instead.
        ::poll(&question, 1, -1);
    }

    static Descriptor open_reserve() {
        return Descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    }

    /// Accepts the next client with the reserve's descriptor and closes the
    /// connection. errno still says why accept failed.
    void refuse() {
        const int reason = errno;
        reserve_.close();
        // One attempt only. Linux checks for a free descriptor before it looks
        // at the queue, so "accept until EAGAIN" would fail with EMFILE
        // forever.
        Descriptor refused(
            ::accept4(fd(), nullptr, nullptr, SOCK_CLOEXEC | flags()));
        const bool queue_empty = !refused && errno == EAGAIN;
        const bool failed = !refused && !queue_empty;
        refused.close();
        reserve_ = open_reserve();

        // The socket is still readable: do not spin on it.
        if (failed) {
            paused_until_ = std::chrono::steady_clock::now() +
                            std::chrono::milliseconds(100);
        }
        if (!queue_empty && !refusing_) {
            const std::string why = std::generic_category().message(reason);
            std::fprintf(stderr, "refusing clients: %s\n", why.c_str());
            // One message until a client is accepted again
            refusing_ = true;
        }
    }

    Mode mode_;
    // Opened first, so that its number is low (chapter 03)
    Descriptor reserve_;
    Descriptor socket_;
    std::uint16_t port_ = 0;
    bool refusing_ = false;
    std::chrono::steady_clock::time_point paused_until_;
};

}  // namespace common
