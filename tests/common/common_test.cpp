// What every chapter uses: descriptors, the listener, the command line.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/command_line.hpp"
#include "common/descriptor.hpp"
#include "common/error.hpp"
#include "common/listener.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/test.hpp"

namespace {

using common::Descriptor;
using common::Listener;
using support::Peer;

bool is_open(int fd) {
    return ::fcntl(fd, F_GETFD) != -1;
}

Descriptor open_null() {
    return Descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

TEST_SUITE("Descriptor") {
    TEST_CASE("owns nothing by default, and a negative number means nothing") {
        CHECK_FALSE(Descriptor());
        CHECK_FALSE(Descriptor(-1));
        CHECK(Descriptor().fd() == -1);
    }

    TEST_CASE("the destructor closes what it owns") {
        int fd = -1;
        {
            const Descriptor owner = open_null();
            fd = owner.fd();
            CHECK(is_open(fd));
        }
        CHECK_FALSE(is_open(fd));
    }

    TEST_CASE("a move transfers the descriptor, and closes the one owned before") {
        Descriptor first = open_null();
        Descriptor second = open_null();
        const int moved = first.fd();
        const int closed = second.fd();
        second = std::move(first);
        CHECK(second.fd() == moved);
        CHECK(is_open(moved));
        CHECK_FALSE(is_open(closed));
        CHECK_FALSE(first);  // NOLINT(bugprone-use-after-move): that is what is tested
    }

    TEST_CASE("what was moved from closes nothing") {
        const int fd = [] {
            Descriptor first = open_null();
            const int number = first.fd();
            const Descriptor second = std::move(first);
            CHECK(second.fd() == number);
            return number;
        }();
        CHECK_FALSE(is_open(fd));
        Descriptor owner = open_null();
        {
            Descriptor other = open_null();
            const Descriptor taken = std::move(owner);
            owner = std::move(other);
        }
        CHECK(is_open(owner.fd()));
    }

    TEST_CASE("0 is a descriptor like any other") {
        const Descriptor before(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
        {
            const Descriptor owner(STDIN_FILENO);
            CHECK(owner);
        }
        CHECK_MESSAGE(!is_open(STDIN_FILENO), "descriptor 0 should have been closed");
        if (before) ::dup2(before.fd(), STDIN_FILENO);
    }

    TEST_CASE("a self-move changes nothing") {
        Descriptor owner = open_null();
        Descriptor& same = owner;
        owner = std::move(same);
        CHECK(is_open(owner.fd()));
    }

    TEST_CASE("closing twice closes once") {
        Descriptor owner = open_null();
        const int fd = owner.fd();
        owner.close();
        const Descriptor next = open_null();  // gets the same number
        REQUIRE(next.fd() == fd);
        owner.close();
        CHECK_MESSAGE(is_open(fd), "the second close hit another owner's descriptor");
    }
}

TEST_SUITE("errors") {
    TEST_CASE("check() returns a result unchanged and turns -1 into an exception") {
        CHECK(common::check(0, "x") == 0);
        CHECK(common::check(7, "x") == 7);
        CHECK_THROWS_WITH((errno = ENOENT, common::check(-1, "cannot open the box")),
                          "cannot open the box: No such file or directory");
    }
}

TEST_SUITE("Listener") {
    TEST_CASE("its own descriptors are close-on-exec") {
        const int first = open_null().fd();
        const Listener listener(0, Listener::Mode::non_blocking);
        const int end = open_null().fd();
        CHECK_MESSAGE(end - first == 2, "a listener and a reserve: two descriptors");
        for (int fd = first; fd < end; ++fd) {
            CHECK_MESSAGE((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0, "descriptor ", fd,
                          " is inherited by programs that the server starts");
        }
    }

    TEST_CASE("many clients fit into its queue") {
        Listener listener(0, Listener::Mode::non_blocking);
        std::list<Peer> peers;  // Peer waits until it is connected
        for (int i = 0; i < 64; ++i) peers.emplace_back(listener.port());
        for (int i = 0; i < 64; ++i) CHECK(listener.accept());
    }

    TEST_CASE("port 0 means any free port, and port() returns it") {
        const Listener first(0, Listener::Mode::non_blocking);
        const Listener second(0, Listener::Mode::non_blocking);
        CHECK(first.port() != 0);
        CHECK(first.port() != second.port());
    }

    TEST_CASE("a port in use is an error that names the port") {
        const Listener first(0, Listener::Mode::non_blocking);
        const std::string port = std::to_string(first.port());
        CHECK_THROWS_WITH(
            Listener(first.port(), Listener::Mode::non_blocking),
            ("cannot listen on 127.0.0.1:" + port + ": Address already in use").c_str());
    }

    TEST_CASE("with an empty queue, accept() returns nothing, at once") {
        Listener listener(0, Listener::Mode::non_blocking);
        CHECK_FALSE(listener.accept());
        CHECK_FALSE(listener.paused());
    }

    TEST_CASE("accepted sockets have the listener's mode, no delay, and urgent data in line") {
        for (const Listener::Mode mode : {Listener::Mode::blocking, Listener::Mode::non_blocking}) {
            Listener listener(0, mode);
            const Peer peer(listener.port());
            const Descriptor client = listener.accept();
            REQUIRE(client);
            const bool non_blocking = (::fcntl(client.fd(), F_GETFL) & O_NONBLOCK) != 0;
            CHECK(non_blocking == (mode == Listener::Mode::non_blocking));
            CHECK((::fcntl(client.fd(), F_GETFD) & FD_CLOEXEC) != 0);
            int no_delay = 0;
            int urgent_inline = 0;
            socklen_t size = sizeof(int);
            ::getsockopt(client.fd(), IPPROTO_TCP, TCP_NODELAY, &no_delay, &size);
            ::getsockopt(client.fd(), SOL_SOCKET, SO_OOBINLINE, &urgent_inline, &size);
            CHECK(no_delay != 0);
            CHECK(urgent_inline != 0);
        }
    }

    TEST_CASE("with a full descriptor table clients are refused, and later served again") {
        Listener listener(0, Listener::Mode::non_blocking);
        std::list<Peer> peers;
        for (int i = 0; i < 3; ++i) peers.emplace_back(listener.port());
        rlimit before{};
        ::getrlimit(RLIMIT_NOFILE, &before);
        const int next_free = open_null().fd();
        const rlimit full{static_cast<rlim_t>(next_free), before.rlim_max};
        ::setrlimit(RLIMIT_NOFILE, &full);  // from now on this process has no descriptor left
        for (int i = 0; i < 2; ++i) CHECK_FALSE(listener.accept());
        CHECK_FALSE(listener.paused());
        ::setrlimit(RLIMIT_NOFILE, &before);

        const Descriptor client = listener.accept();
        CHECK_MESSAGE(client,
                      "the third client should be accepted once there are descriptors again");
        CHECK_FALSE(peers.front().is_served());
        peers.pop_front();
        CHECK_FALSE(peers.front().is_served());
    }

    TEST_CASE("with no descriptor to refuse with, it pauses, and no client is lost") {
        Listener listener(0, Listener::Mode::non_blocking);
        const Peer peer(listener.port());
        rlimit before{};
        ::getrlimit(RLIMIT_NOFILE, &before);
        const rlimit none{3, before.rlim_max};
        ::setrlimit(RLIMIT_NOFILE, &none);
        CHECK_FALSE(listener.accept());
        const bool paused = listener.paused();
        ::setrlimit(RLIMIT_NOFILE, &before);
        CHECK_MESSAGE(paused,
                      "a listener that cannot accept stays readable: a server that tries again "
                      "at once spins");
        CHECK(listener.accept());
    }
}

TEST_SUITE("command line") {
    /// Returns "ok", "help", or the error message.
    std::string parse(const std::vector<std::string_view>& arguments, std::uint16_t& port,
                      bool& edge) {
        try {
            return common::parse(arguments, {common::port_option(port),
                                             {"--edge", "", "edge-triggered",
                                              [&edge](std::string_view) { edge = true; }}})
                       ? "ok"
                       : "help";
        } catch (const common::UsageError& error) {
            return error.what();
        }
    }

    TEST_CASE("options with and without a value") {
        std::uint16_t port = 7000;
        bool edge = false;
        CHECK(parse({}, port, edge) == "ok");
        CHECK(port == 7000);
        CHECK(parse({"--port", "8001"}, port, edge) == "ok");
        CHECK(port == 8001);
        CHECK(parse({"--port=0", "--edge"}, port, edge) == "ok");
        CHECK(port == 0);
        CHECK(edge);
        CHECK(parse({"--port", "65535"}, port, edge) == "ok");
        CHECK(port == 65535);
    }

    TEST_CASE("one operand") {
        std::string plan;
        const std::vector<common::Option> options{
            {"PLAN", "", "a file", [&plan](std::string_view text) { plan = text; }}};
        CHECK(common::parse({"a.txt"}, options));
        CHECK(plan == "a.txt");
        CHECK(common::parse({"-"}, options));
        CHECK(plan == "-");
        CHECK_THROWS_WITH_AS(common::parse({"a.txt", "b.txt"}, options),
                             "bad argument: there is no \"b.txt\"", common::UsageError);
    }

    TEST_CASE("help") {
        std::uint16_t port = 0;
        bool edge = false;
        CHECK(parse({"--help"}, port, edge) == "help");
        CHECK(parse({"-h"}, port, edge) == "help");
    }

    TEST_CASE("an error names the wrong argument") {
        std::uint16_t port = 0;
        bool edge = false;
        for (const std::string bad :
             {"", "abc", "65536", "-1", "+1", "7000x", " 7000", "7e3", "0x10"}) {
            CHECK(parse({"--port", bad}, port, edge) ==
                  "bad port: \"" + bad + "\" is not a number from 0 to 65535");
        }
        CHECK(parse({"--port"}, port, edge) == "bad option: --port needs a value (N)");
        CHECK(parse({"--edge=yes"}, port, edge) == "bad option: --edge takes no value");
        CHECK(parse({"--fast"}, port, edge) == "bad argument: there is no \"--fast\"");
        CHECK(parse({"7000"}, port, edge) == "bad argument: there is no \"7000\"");
    }
}

}  // namespace
