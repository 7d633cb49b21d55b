// The server itself: real sockets, real time, real signals.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "common/descriptor.hpp"
#include "common/error.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/test.hpp"

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

/// The server as a process; stdout and stderr are read together.
class Program {
public:
    explicit Program(std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), support::options().build + "/05-callback-loop");
        std::vector<char*> argv;
        for (std::string& argument : arguments) argv.push_back(argument.data());
        argv.push_back(nullptr);
        std::array<int, 2> ends{};
        common::check(::pipe2(ends.data(), O_CLOEXEC), "a test needs a pipe");
        output_ = common::Descriptor(ends[0]);
        const common::Descriptor input(ends[1]);
        pid_ = common::check(::fork(), "cannot start a process");
        if (pid_ != 0) return;
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // it must not outlive a test that crashes
        ::dup2(input.fd(), STDOUT_FILENO);
        ::dup2(input.fd(), STDERR_FILENO);
        ::execv(argv[0], argv.data());
        ::perror(argv[0]);
        ::_exit(127);
    }

    ~Program() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }

    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;

    std::string line() {
        support::waiting_for("a line that the server prints");
        std::string text;
        char byte = 0;
        while (::read(output_.fd(), &byte, 1) == 1 && byte != '\n') text += byte;
        return text;
    }

    /// The port that it announces.
    std::uint16_t port() {
        const std::string text = line();
        unsigned number = 0;
        const int found =  // NOLINTNEXTLINE(cert-err34-c): a port fits
            std::sscanf(text.c_str(), "listening on 127.0.0.1:%u", &number);
        REQUIRE_MESSAGE(found == 1, "the server's first line was: ", text);
        return static_cast<std::uint16_t>(number);
    }

    void signal(int number) const { ::kill(pid_, number); }

    /// Waits for its end. Returns its exit status, or minus the signal that ended it.
    int status() {
        support::waiting_for("the end of the server");
        int status = 0;
        ::waitpid(std::exchange(pid_, -1), &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }

private:
    common::Descriptor output_;
    pid_t pid_ = -1;
};

}  // namespace

TEST_CASE("in real time: an idle client is closed, not too early, and a busy one is not") {
    Program server({"--port", "0", "--idle-timeout", "0.2"});
    const std::uint16_t port = server.port();
    const auto start = Clock::now();
    support::Peer silent(port);
    support::Peer busy(port);
    while (!silent.has_answer()) busy.echo("still here\n");
    silent.expect_end();
    CHECK(Clock::now() - start >= 200ms);
    busy.echo("and still here\n");
}

TEST_CASE("in real time: a reply takes the delay, and delays no other client") {
    Program server({"--port", "0", "--reply-delay=50.5"});
    const std::uint16_t port = server.port();
    const auto start = Clock::now();
    std::vector<support::Peer> peers;
    for (int i = 0; i < 20; ++i) {
        peers.emplace_back(port);
        peers.back().send("hello\n");
    }
    for (support::Peer& peer : peers) {
        peer.expect("hello\n");
        CHECK(Clock::now() - start >= 50500us);
    }
}

TEST_CASE("SIGTERM and SIGINT end the server in order, in any state") {
    for (const int signal : {SIGTERM, SIGINT}) {
        Program server({"--port", "0", "--idle-timeout", "100", "--reply-delay", "100000"});
        const std::uint16_t port = server.port();
        support::Peer silent(port);
        support::Peer delayed(port);
        support::Peer half_closed(port);
        delayed.send("this reply is due in 100 seconds\n");
        half_closed.send("and this one");
        half_closed.half_close();
        server.signal(signal);
        CHECK(server.status() == 0);
        CHECK(silent.has_answer());  // the end: the server has closed the connection
        CHECK(delayed.has_answer());
        CHECK(server.line().empty());  // nothing on stderr: leak checkers have nothing to say
    }
}

TEST_CASE("a client that does not read: the server still ends at once") {
    Program server({"--port", "0"});
    support::Peer flooder(server.port());
    flooder.send_until_full();
    server.signal(SIGTERM);
    CHECK(server.status() == 0);
}

TEST_CASE("time options that make no sense: a line that says so, the usage, exit status 2") {
    for (const std::string text :
         {"", "x", "-1", "1e3", "0x10", "nan", "inf", "1.5s", " 1", "1000000001"}) {
        Program server({"--idle-timeout", text});
        CHECK(server.line() == "05-callback-loop: bad idle timeout: \"" + text +
                                   "\" is not a number of seconds from 0 to 1000000000");
        CHECK(server.line().substr(0, 23) == "usage: 05-callback-loop");
        CHECK(server.status() == 2);
    }
    Program server({"--reply-delay=soon"});
    CHECK(server.line() ==
          "05-callback-loop: bad reply delay: \"soon\" is not a number of milliseconds from 0 to "
          "1000000000");
    CHECK(server.status() == 2);
}
