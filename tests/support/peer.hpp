// The client side of a connection, controlled by a test step by step.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "common/descriptor.hpp"
#include "common/error.hpp"
#include "tests/support/test.hpp"

namespace support {

/// A client on 127.0.0.1. No wait lasts longer than deadline(): then the test fails with a message
/// that says what was sent, what was expected, and what had come.
class Peer {
public:
    /// Connects. `receive_buffer` is the size of its receive buffer in bytes (SO_RCVBUF); 0 leaves
    /// it to the kernel.
    explicit Peer(std::uint16_t port, int receive_buffer = 0)
        : socket_(common::check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
                                "a test needs a socket")) {
        if (receive_buffer > 0) set(SOL_SOCKET, SO_RCVBUF, receive_buffer);
        set(IPPROTO_TCP, TCP_NODELAY, 1);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        auto* generic = reinterpret_cast<sockaddr*>(&address);
        if (::connect(fd(), generic, sizeof address) == 0) return;
        if (errno == EINPROGRESS && wait(POLLOUT)) {
            socklen_t size = sizeof errno;
            ::getsockopt(fd(), SOL_SOCKET, SO_ERROR, &errno, &size);
            if (errno == 0) return;
        }
        FAIL("cannot connect to the server on port ", port, ": ", last_error());
    }

    [[nodiscard]] int fd() const { return socket_.fd(); }

    /// Sends all of `text`; the server must read it. With MSG_OOB in `flags` the last byte is
    /// urgent.
    void send(std::string_view text, int flags = 0) {
        said_ = quoted(text);
        while (!text.empty()) {
            const ssize_t count = ::send(fd(), text.data(), text.size(), flags | MSG_NOSIGNAL);
            if (count >= 0) {
                text.remove_prefix(static_cast<std::size_t>(count));
            } else if (errno != EAGAIN) {
                FAIL("sending ", said_, " failed: ", last_error());
            } else if (!wait(POLLOUT, "the server to read what was sent")) {
                FAIL("while sending ", said_, " we waited ", seconds(),
                     " for the server to read; still unsent are ", text.size(), " bytes");
            }
        }
    }

    /// Sends until the kernel has taken nothing for 100 ms: all buffers between the two programs
    /// are full then. Returns the number of bytes.
    std::size_t send_until_full() {
        const std::string block(64 * 1024, '#');
        std::size_t total = 0;
        while (true) {
            const ssize_t count = ::send(fd(), block.data(), block.size(), MSG_NOSIGNAL);
            if (count > 0) total += static_cast<std::size_t>(count);
            if (count < 0 && errno != EAGAIN) break;
            pollfd question{fd(), POLLOUT, 0};
            if (count < 0 && ::poll(&question, 1, 100) == 0) break;
        }
        said_ = std::to_string(total) + " bytes of '#'";
        return total;
    }

    /// Receives exactly `count` bytes.
    std::string receive(std::size_t count) {
        std::string got(count, '\0');
        std::size_t have = 0;
        while (have < count) {
            const ssize_t now = ::recv(fd(), got.data() + have, count - have, 0);
            if (now > 0) {
                have += static_cast<std::size_t>(now);
                continue;
            }
            const std::string so_far =
                std::to_string(have) + " came: " + quoted(std::string_view(got).substr(0, have));
            if (now == 0) {
                FAIL("after sending ", said_, " we expected ", count, " bytes; ", so_far,
                     ", then the server closed the connection");
            } else if (errno != EAGAIN) {
                FAIL("after sending ", said_, " we expected ", count, " bytes; ", so_far, ", then ",
                     last_error());
            } else if (!wait(POLLIN, "an answer to " + said_)) {
                FAIL("after sending ", said_, " we waited ", seconds(), " for ", count, " bytes; ",
                     so_far);
            }
        }
        return got;
    }

    /// Receives as many bytes as `text` has; they must be equal to it.
    void expect(std::string_view text) {
        const std::string got = receive(text.size());
        const auto differs = static_cast<std::size_t>(
            std::mismatch(got.begin(), got.end(), text.begin()).first - got.begin());
        REQUIRE_MESSAGE(got == text, "after sending ", said_, " we expected ", quoted(text),
                        "; what came differs from byte ", differs,
                        " on: ", quoted(std::string_view(got).substr(differs)));
    }

    /// Sends `text` and expects it back.
    void echo(std::string_view text) {
        send(text);
        expect(text);
    }

    /// Sends `text` of any size and expects it back. Sends and receives at the same time; otherwise
    /// both sides would end up waiting for the other to read.
    void echo_streaming(std::string_view text) {
        said_ = quoted(text);
        std::size_t sent = 0;
        std::size_t received = 0;
        std::string block(256 * 1024, '\0');
        while (received < text.size()) {
            const bool more = sent < text.size();
            if (!wait(static_cast<short>(more ? POLLIN | POLLOUT : POLLIN),
                      "an echo of " + said_)) {
                FAIL("while sending ", said_, " nothing moved for ", seconds(), ": ", sent,
                     " bytes are sent, ", received, " have come back");
            }
            const ssize_t out =
                more ? ::send(fd(), text.data() + sent, text.size() - sent, MSG_NOSIGNAL) : 0;
            if (out > 0) sent += static_cast<std::size_t>(out);
            const ssize_t in = ::recv(fd(), block.data(), block.size(), 0);
            if (in == 0 || (in < 0 && errno != EAGAIN)) {
                FAIL("after ", received, " of ", text.size(), " bytes had come back, the server ",
                     std::string(in == 0 ? "closed" : "broke"), " the connection");
            }
            const std::string_view came(block.data(),
                                        static_cast<std::size_t>(std::max<ssize_t>(in, 0)));
            if (came != text.substr(received, came.size())) {
                FAIL("what came back differs from what was sent, within the ", came.size(),
                     " bytes that follow byte ", received);
            }
            received += came.size();
        }
        REQUIRE(received == text.size());
    }

    /// Returns true if there is something to receive now: bytes, the end, or an error.
    [[nodiscard]] bool has_answer() const {
        pollfd question{fd(), POLLIN, 0};
        return ::poll(&question, 1, 0) == 1;
    }

    /// Expects the server to close the connection without sending another byte.
    void expect_end() {
        const std::string why = end_or_byte();
        REQUIRE_MESSAGE(why == "end", "after sending ", said_,
                        " we expected the end of the connection; what came is ", why);
    }

    /// Sends a byte. Returns true if it came back, false if the server refuses this client.
    [[nodiscard]] bool is_served() const {
        ::send(fd(), "x", 1, MSG_NOSIGNAL);  // fails if the client has already been refused
        const std::string why = end_or_byte();
        REQUIRE_MESSAGE((why == "the byte 'x'" || why == "end" || why == "a reset"),
                        "after sending 'x' we expected it back, or to be refused; what came is ",
                        why);
        return why == "the byte 'x'";
    }

    /// Receives what has come. Returns the number of bytes, perhaps 0.
    [[nodiscard]] std::size_t receive_some() const {
        std::string block(16 * 1024, '\0');
        return static_cast<std::size_t>(
            std::max<ssize_t>(::recv(fd(), block.data(), block.size(), 0), 0));
    }

    /// Receives until the end of the connection. Returns the number of bytes.
    std::size_t receive_to_end() {
        std::string block(256 * 1024, '\0');
        std::size_t total = 0;
        while (true) {
            const ssize_t count = ::recv(fd(), block.data(), block.size(), 0);
            if (count == 0) return total;
            if (count > 0) {
                total += static_cast<std::size_t>(count);
            } else if (errno != EAGAIN) {
                FAIL("after ", total, " bytes had come: ", last_error());
            } else if (!wait(POLLIN, "the rest of " + said_ + " and the end")) {
                FAIL("after sending ", said_, " we waited ", seconds(),
                     " for the end of the connection; ", total, " bytes had come");
            }
        }
    }

    /// Ends the input of the server; this side can still receive.
    void half_close() {
        ::shutdown(fd(), SHUT_WR);
        said_ += " and the end of input";
    }

    /// Resets the connection: the server gets ECONNRESET (SO_LINGER with a time of 0).
    void reset() {
        const linger at_once{1, 0};
        ::setsockopt(fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close();
    }

    void close() { socket_.close(); }

    /// Waits for one of the events. Returns false after the deadline.
    [[nodiscard]] bool wait(short events, const std::string& what = "a connection") const {
        waiting_for(what);
        pollfd question{fd(), events, 0};
        return ::poll(&question, 1, static_cast<int>(deadline().count())) == 1;
    }

private:
    void set(int level, int option, int value) const {
        ::setsockopt(fd(), level, option, &value, sizeof value);
    }

    static std::string last_error() { return std::generic_category().message(errno); }

    static std::string seconds() { return std::to_string(deadline().count() / 1000) + " s"; }

    [[nodiscard]] std::string end_or_byte() const {
        if (!wait(POLLIN, "the end of the connection")) return "nothing, within " + seconds();
        char byte = 0;
        const ssize_t count = ::recv(fd(), &byte, 1, 0);
        if (count == 1) return "the byte " + quoted({&byte, 1});
        if (count == 0) return "end";
        return errno == ECONNRESET ? "a reset" : last_error();
    }

    common::Descriptor socket_;
    std::string said_ = "nothing";
};

}  // namespace support
