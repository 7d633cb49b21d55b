// What every server of the course guarantees, as its clients see it: the same tests for all of
// them.
//
// If a chapter's way of waiting makes a behaviour impossible, the test measures that limit instead.
// servers.hpp lists the limits of each server.
#include <doctest/doctest.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/service/servers.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/server_process.hpp"
#include "tests/support/test.hpp"

namespace {

using service::server;
using support::Call;
using support::Peer;
using support::ServerProcess;
using support::shows_limit;
using support::skip;
using support::wait_until;

/// Returns bytes without a repeating pattern that could hide a bug: the same in each run.
std::string noise(std::size_t size) {
    std::string text(size, '\0');
    std::uint32_t state = 1;
    for (char& c : text) {
        state = state * 1664525 + 1013904223;
        c = static_cast<char>(state >> 24);
    }
    return text;
}

void round_trips(Peer& peer, int count) {
    for (int i = 0; i < count; ++i) peer.echo("ping " + std::to_string(i) + "\n");
}

/// The server still works: the next client is served.
void expect_service(const ServerProcess& process) {
    INFO("the next client should be served as usual");
    Peer next(process.port());
    next.echo("are you still there?\n");
}

/// Clients have left; the server notices that after a while.
void expect_descriptors(const ServerProcess& process, std::size_t count) {
    INFO("the descriptor of every ended connection should be closed");
    wait_until("the server to have " + std::to_string(count) + " open descriptors again",
               [&] { return process.descriptors() == count; });
}

/// Clients have left a full server: it refuses new ones only until it has noticed that.
void expect_room_again(const ServerProcess& process) {
    wait_until("a new client to be served, now that others have left a full server",
               [&] { return Peer(process.port()).is_served(); });
}

/// A measure of time that does not depend on the speed or load of the machine: another server of
/// the same kind answers requests meanwhile.
void while_another_server_answers(int requests) {
    const ServerProcess other;
    Peer peer(other.port());
    round_trips(peer, requests);
}

/// While nothing happens, a server makes no system call and never wakes up.
void expect_idle(const ServerProcess& process) {
    if (server().burns) {
        const std::uint64_t before = process.all_calls();
        const std::chrono::nanoseconds cpu_before = process.cpu_time();
        wait_until("10,000 system calls of a server that polls (docs/02-polling.md)",
                   [&] { return process.all_calls() - before > 10'000; });
        CHECK_MESSAGE(process.cpu_time() > cpu_before, "polling should cost CPU time");
        shows_limit("it polls all the time");
        return;
    }
    process.wait_until_asleep();
    const std::uint64_t calls = process.all_calls();
    const long sleeps = process.sleeps();
    while_another_server_answers(500);
    CHECK_MESSAGE(process.all_calls() == calls, "nothing happened, and yet the server made ",
                  process.all_calls() - calls,
                  " system calls while another one answered 500 requests. Which descriptor is "
                  "ready all the time, or which timeout is too short? (docs/03-select.md)");
    if (support::thread_sanitizer) return;  // its own thread wakes up
    CHECK_MESSAGE(process.sleeps() == sleeps, "nothing happened, and yet the server woke up ",
                  process.sleeps() - sleeps, " times (docs/03-select.md)");
}

TEST_SUITE("bytes") {
    TEST_CASE("bytes that come one at a time") {
        const ServerProcess process;
        Peer peer(process.port());
        for (const char c : std::string("one byte is enough\n")) peer.echo({&c, 1});
    }

    TEST_CASE("many lines in one segment") {
        const ServerProcess process;
        Peer peer(process.port());
        std::string lines;
        for (int i = 0; i < 1000; ++i) lines += "line " + std::to_string(i) + "\n";
        peer.echo(lines);
    }

    TEST_CASE("all 256 values of a byte") {
        const ServerProcess process;
        Peer peer(process.port());
        std::string bytes;
        for (int value = 0; value < 256; ++value) bytes += static_cast<char>(value);
        peer.echo(bytes);
    }

    TEST_CASE("a line of 32 MB") {
        const ServerProcess process;
        Peer peer(process.port());
        peer.echo_streaming(noise(32 << 20));
    }

    TEST_CASE("urgent data is echoed like any other") {
        const ServerProcess process;
        Peer peer(process.port());
        peer.send("a");
        peer.send("!", MSG_OOB);
        peer.send("b");
        peer.expect("a!b");
        expect_idle(process);
    }
}

TEST_SUITE("the end of a connection") {
    TEST_CASE("after a half-close everything owed is delivered") {
        const ServerProcess process;
        Peer peer(process.port());
        const std::size_t sent = peer.send_until_full();
        peer.half_close();
        CHECK_MESSAGE(peer.receive_to_end() == sent,
                      "the end of a client's input is not the end of the connection: what the "
                      "server still owes must come, and then the end (docs/02-polling.md)");
    }

    TEST_CASE("a client disconnects without sending") {
        const ServerProcess process;
        Peer(process.port()).close();
        expect_service(process);
    }

    TEST_CASE("a client resets in mid-transfer") {
        const ServerProcess process;
        const std::size_t before = process.descriptors();
        Peer peer(process.port());
        peer.send_until_full();
        peer.reset();
        expect_service(process);
        expect_descriptors(process, before);
    }

    TEST_CASE("a client disconnects before its answer") {
        const ServerProcess process;
        for (int i = 0; i < 3; ++i) {
            Peer peer(process.port());
            peer.echo("x");
            process.signal(SIGSTOP);
            peer.send(
                "the answer to this fails with EPIPE, and raises SIGPIPE unless that is ignored");
            peer.half_close();
            peer.reset();
            process.signal(SIGCONT);
        }
        expect_service(process);
    }

    TEST_CASE("300 clients come and go, no descriptor leaks") {
        const ServerProcess process;
        const std::size_t before = process.descriptors();
        for (int i = 0; i < 300; ++i) {
            Peer peer(process.port());
            if (i % 3 != 0) peer.echo("x");
            if (i % 5 == 0) peer.reset();
        }
        expect_service(process);
        expect_descriptors(process, before);
    }
}

TEST_SUITE("several clients") {
    TEST_CASE("two clients at once") {
        const ServerProcess process;
        Peer first(process.port());
        first.echo("first\n");
        Peer second(process.port());
        second.send("second\n");
        if (server().one_at_a_time) {
            round_trips(first, 200);
            CHECK_MESSAGE(!second.has_answer(), "the second client should have to wait");
            first.close();
            shows_limit("the second client waits until the first leaves");
        }
        second.expect("second\n");
    }

    TEST_CASE("200 clients at once") {
        const ServerProcess process;
        std::list<Peer> peers;
        for (int i = 0; i < 200; ++i) peers.emplace_back(process.port()).send(std::to_string(i));
        if (server().one_at_a_time) {
            for (int i = 0; i < 200; ++i, peers.pop_front())
                peers.front().expect(std::to_string(i));
            return shows_limit("one client after another");
        }
        int i = 0;
        for (Peer& peer : peers) peer.expect(std::to_string(i++));
        for (Peer& peer : peers) peer.echo("once more");
    }

    TEST_CASE("a client that never reads, while others are served") {
        const ServerProcess process;
        expect_service(process);
        const long before = process.memory();
        std::list<Peer> stalled;
        std::size_t pushed = 0;
        for (int i = 0; i < (server().one_at_a_time ? 1 : 4); ++i) {
            pushed += stalled.emplace_back(process.port()).send_until_full();
        }
        Peer other(process.port());
        other.send("and me?\n");
        if (server().one_at_a_time) {
            while_another_server_answers(200);
            CHECK_MESSAGE(!other.has_answer(), "the other client should have to wait");
            stalled.clear();
            shows_limit("the others have to wait");
        }
        other.expect("and me?\n");
        if (!server().one_at_a_time) round_trips(other, 100);

        const long grown = process.memory() - before;
        REQUIRE(pushed > 1'000'000);
        CHECK_MESSAGE(grown * 1024 < static_cast<long>(pushed / 2),
                      "clients that do not read sent ", pushed / 1024,
                      " KiB, and the server's memory grew by ", grown,
                      " KiB. It should stop reading from a client that it still owes bytes "
                      "(back-pressure: docs/02-polling.md)");
    }

    TEST_CASE("a client that floods, while others are served") {
        const ServerProcess process;
        Peer greedy(process.port());
        greedy.echo("I was here first");
        Peer quiet(process.port());
        if (!server().one_at_a_time) quiet.echo("me too");

        // When the server continues, both have sent something, and one of them very much.
        process.signal(SIGSTOP);
        const std::size_t flood = greedy.send_until_full();
        quiet.send("a word\n");
        process.signal(SIGCONT);
        std::size_t came = 0;
        while (!quiet.has_answer() && came < flood) {
            came += greedy.receive_some();
        }
        if (server().one_at_a_time) {
            CHECK_MESSAGE(!quiet.has_answer(), "the quiet client should have to wait");
            greedy.close();
            shows_limit("the others wait until it leaves");
        } else if (!server().thread_for_each) {  // with threads, the kernel's scheduler is fair
            CHECK_MESSAGE(came < flood / 2, "a client that floods got ", came / 1024, " of its ",
                          flood / 1024,
                          " KiB before a client that sent one line got an answer. Each "
                          "client's turn should be bounded (docs/02-polling.md)");
        }
        quiet.expect("a word\n");
    }

    TEST_CASE("a reused descriptor inherits nothing") {
        const ServerProcess process;
        const std::size_t before = process.descriptors();
        for (int i = 0; i < 4; ++i) {
            Peer owed(process.port());
            owed.send_until_full();
            owed.reset();
            expect_descriptors(process, before);
            Peer next(process.port());  // gets the number that was just closed
            next.half_close();
            next.expect_end();
            expect_descriptors(process, before);
        }
    }
}

TEST_SUITE("limits") {
    TEST_CASE("a full descriptor table") {
        constexpr int most = 64;
        ServerProcess process({.descriptors = most});
        if (server().one_at_a_time) {
            Peer first(process.port());
            first.echo("x");
            const std::size_t before = process.descriptors();
            std::list<Peer> queue;
            for (int i = 0; i < 100; ++i) queue.emplace_back(process.port());
            round_trips(first, 100);
            CHECK(process.descriptors() == before);
            shows_limit("one client needs one descriptor: it cannot fill the table");
            return;
        }
        std::list<Peer> served;
        for (int i = 0; i < 100; ++i) {
            Peer peer(process.port());
            if (peer.is_served()) served.push_back(std::move(peer));
        }
        CHECK_MESSAGE(served.size() > most / 2, "only ", served.size(),
                      " of 100 clients are served");
        CHECK_MESSAGE(served.size() < most, "more clients are served than there are descriptors");
        for (Peer& peer : served) peer.echo("existing clients are still served\n");
        expect_idle(process);

        const std::string log = process.log();
        CHECK_MESSAGE(std::ranges::count(log, '\n') == 1,
                      "one line should say that clients are refused, not one line per client; "
                      "the server said:\n",
                      log);
        served.pop_front();
        expect_room_again(process);
    }

    TEST_CASE("no descriptor left to refuse a client with") {
        const ServerProcess process;
        Peer first(process.port());
        first.echo("x");
        process.limit_descriptors(3);
        first.close();
        Peer waiting(process.port());
        waiting.send("when will it be my turn?\n");

        // Nothing can be done for the client in the queue. A server that tries again at once makes
        // as many calls as the machine can; one that pauses makes about two every 100 ms.
        const auto accepts = [&] {
            return process.calls(Call::accept4) + process.calls(Call::accept);
        };
        const std::uint64_t before = accepts();
        const auto began = std::chrono::steady_clock::now();
        wait_until("the server to try accept again", [&] { return accepts() >= before + 4; });
        while_another_server_answers(200);
        const auto pauses =
            (std::chrono::steady_clock::now() - began) / std::chrono::milliseconds(100);
        const std::uint64_t tried = accepts() - before;
        CHECK_MESSAGE(tried <= 10 + 4 * static_cast<std::uint64_t>(pauses),
                      "a client is in the queue, "
                      "the server has no descriptor for it, and it called accept ",
                      tried, " times during ", pauses,
                      " times 100 ms: it spins. It should pause before it tries again "
                      "(common/listener.hpp)");
        process.limit_descriptors(1000);
        waiting.expect("when will it be my turn?\n");
    }

    TEST_CASE("it says in each episode that clients are refused") {
        if (server().one_at_a_time) return skip("it cannot fill the table");
        constexpr int most = 32;
        ServerProcess process({.descriptors = most});
        for (const long episode : {1, 2}) {
            INFO("the descriptor table was full ", episode, " times, and empty in between");
            std::list<Peer> served;
            for (int i = 0; i < most + 10; ++i) {
                Peer peer(process.port());
                if (peer.is_served()) served.push_back(std::move(peer));
            }
            const std::string log = process.log();
            CHECK_MESSAGE(std::ranges::count(log, '\n') == episode,
                          "one line should be said each time; it said:\n", log);
            served.clear();
            expect_room_again(process);
        }
    }

    TEST_CASE("no thread can be started for a client") {
        if (!server().thread_for_each) return skip("it starts no thread for a client");
        const ServerProcess process({.faults = "pthread_create:EAGAIN@2-3"});
        Peer first(process.port());
        first.echo("first\n");
        for (int i = 0; i < 2; ++i) {
            Peer second(process.port());
            second.expect_end();
        }
        INFO("the server printed: ", process.log());
        CHECK_MESSAGE(process.log().starts_with("refusing a client: "), "it should say so");
        first.echo("I am still here\n");
        expect_service(process);
    }

    TEST_CASE("no descriptor is inherited by a program that it starts") {
        const ServerProcess process;
        Peer peer(process.port());
        peer.echo("x");
        std::string list;
        for (const std::string& one : process.inherited_descriptors()) list += one + " ";
        CHECK_MESSAGE(list.empty(), "these descriptors of the server are not close-on-exec: ", list,
                      ". A program that it started would keep connections open that it has closed");
    }

    TEST_CASE("small answers are sent at once") {
        const ServerProcess process;
        Peer peer(process.port());
        peer.echo("x");
        const auto connections = process.connections();
        if (connections.empty()) return skip("the system forbids to look at another's sockets");
        for (const auto& connection : connections) {
            int no_delay = 0;
            socklen_t size = sizeof no_delay;
            ::getsockopt(connection.fd(), IPPROTO_TCP, TCP_NODELAY, &no_delay, &size);
            CHECK_MESSAGE(no_delay != 0,
                          "without TCP_NODELAY a second small answer waits until the client has "
                          "acknowledged the first, up to 40 ms (docs/what-every-server-does.md)");
        }
    }

    TEST_CASE("a client beyond descriptor 1023") {
        rlimit limit{};
        ::getrlimit(RLIMIT_NOFILE, &limit);
        if (limit.rlim_max < 1200) return skip("the hard limit on descriptors is below 1200");
        if (server().one_at_a_time) return skip("it serves one client at a time");

        const ServerProcess process;
        const std::size_t own = process.descriptors();
        std::list<Peer> served;
        for (int i = 0; i < 1050; ++i) {
            Peer peer(process.port());
            if (peer.is_served()) served.push_back(std::move(peer));
        }
        for (Peer& peer : served) peer.echo("still here");
        if (server().highest_descriptor == 0) {
            CHECK(served.size() == 1050);
            return;
        }
        CHECK_MESSAGE(served.size() + own == 1024,
                      "the descriptors 0 to 1023 should be used, and no "
                      "others: select has bits for those only (docs/03-select.md). The server has ",
                      process.descriptors(), " open, and serves ", served.size(), " clients");
        const std::string log = process.log();
        CHECK_MESSAGE(std::ranges::count(log, '\n') == 1, "one line should say so; it said:\n",
                      log);
        served.pop_front();
        expect_descriptors(process, served.size() + own);
        expect_service(process);
        shows_limit("it is refused");
    }
}

/// The echo works although the injected faults occur.
void expect_echo_despite(const std::string& faults) {
    INFO("system calls fail in the server: FAULTS=", faults);
    const ServerProcess process({.faults = faults});
    Peer peer(process.port());
    for (int i = 0; i < 20; ++i) peer.echo("neither lost nor doubled " + std::to_string(i) + "\n");
    peer.echo_streaming(noise(20'000));
    peer.half_close();
    peer.expect_end();
    expect_service(process);
    CHECK_MESSAGE(process.faults() > 0, "no call has failed: does the server make other calls?");
}

TEST_SUITE("failing system calls") {
    TEST_CASE("EINTR: a signal comes first") {
        expect_echo_despite(
            "read:EINTR/2,recv:EINTR/2,write:EINTR/2,send:EINTR/2,accept:EINTR@1,accept4:EINTR@1,"
            "epoll_wait:EINTR/2,select:EINTR/2,poll:EINTR/2");
    }

    TEST_CASE("short reads and writes") {
        // A server may treat a short read as the last one (epoll(7), the last question): the kernel
        // leaves bytes in the socket only for a reason that it reports as an event.
        expect_echo_despite(server().short_is_all
                                ? "write:short/1,send:short/1"
                                : "read:short/2,recv:short/2,write:short/1,send:short/1");
    }

    TEST_CASE("EAGAIN although the socket seemed ready") {
        if (server().blocks) return skip("its sockets are blocking: EAGAIN cannot occur");
        // An edge-triggered server waits for the next edge after EAGAIN, so one has to follow.
        expect_echo_despite(server().edge_triggered
                                ? "accept4:EAGAIN@1"
                                : "accept4:EAGAIN@1,read:EAGAIN/3,recv:EAGAIN/3,write:EAGAIN/3,"
                                  "send:EAGAIN/3");
    }

    TEST_CASE("ENOBUFS from a write ends only that client") {
        const ServerProcess process({.faults = "write:ENOBUFS@3,send:ENOBUFS@3"});
        Peer first(process.port());
        round_trips(first, 2);
        std::unique_ptr<Peer> second;
        if (!server().one_at_a_time) second = std::make_unique<Peer>(process.port());
        first.send("this write fails");
        first.expect_end();
        if (second) second->echo("and I am still here");
        expect_service(process);
    }

    TEST_CASE("accept fails with ECONNABORTED, EPROTO, EPERM") {
        for (const char* error : {"ECONNABORTED", "EPROTO", "EPERM"}) {
            const std::string rule = std::string(":") + error + "@1-2";
            const ServerProcess process(
                {.faults = std::string("accept").append(rule).append(",accept4").append(rule)});
            expect_service(process);
            CHECK(process.faults() == 2);
            if (std::string(error) == "ECONNABORTED") {
                CHECK_MESSAGE(process.log().empty(),
                              "a client that has left is no news: ", process.log());
            }
        }
    }

    TEST_CASE("accept fails with ENFILE, ENOBUFS, ENOMEM") {
        for (const char* error : {"ENFILE", "ENOBUFS", "ENOMEM"}) {
            const std::string rule = std::string(":") + error + "@1-4";
            const ServerProcess process(
                {.faults = std::string("accept").append(rule).append(",accept4").append(rule)});
            expect_service(process);
            CHECK(process.faults() == 4);
        }
    }

    TEST_CASE("epoll_ctl fails with ENOSPC: no more watches") {
        // At its start, the server adds up to three descriptors of its own.
        const ServerProcess process({.faults = "epoll_ctl:ENOSPC@4-9"});
        static_cast<void>(Peer(process.port()).is_served());
        if (process.calls(Call::epoll_ctl) == 0) return skip("it does not use epoll");
        std::list<Peer> served;
        wait_until("a new client to be served, now that epoll_ctl succeeds again", [&] {
            Peer peer(process.port());
            if (peer.is_served()) served.push_back(std::move(peer));
            return process.faults() == 6 && !served.empty();
        });
        for (Peer& peer : served) peer.echo("I am still served\n");
        expect_service(process);
        expect_idle(process);
    }
}

/// Connects more clients than the server has descriptors (16), so that it prints a message. The
/// message must not go to a client.
void make_it_complain(const ServerProcess& process) {
    std::list<Peer> peers;
    for (int i = 0; i < 20; ++i) {
        peers.emplace_back(process.port());
        if (!server().one_at_a_time) (void)peers.back().is_served();
    }
    peers.front().echo("no message may go to a client\n");
    peers.clear();
    expect_room_again(process);
}

TEST_SUITE("signals and streams") {
    TEST_CASE("stopped and continued") {
        const ServerProcess process;
        Peer peer(process.port());
        peer.echo("before\n");
        for (int i = 0; i < 3; ++i) {
            process.signal(SIGSTOP);
            peer.send("meanwhile\n");
            process.signal(SIGCONT);
            peer.expect("meanwhile\n");
        }
        peer.echo("after\n");
    }

    TEST_CASE("SIGTERM and SIGINT end it in any state") {
        for (const int number : {SIGTERM, SIGINT}) {
            INFO("signal ", number, " should end the server: exit status 0, or by the signal");
            ServerProcess process;
            Peer quiet(process.port());
            Peer stalled(process.port());
            stalled.send_until_full();
            const std::string ending = process.stop(number);
            const std::string by_signal = "signal " + std::to_string(number);
            CHECK_MESSAGE((ending == "exit status 0" || ending.starts_with(by_signal)),
                          "it ended with ", ending);
        }
    }

    TEST_CASE("a restart works at once, on the same port") {
        ServerProcess first;
        Peer peer(first.port());
        peer.echo("x");
        first.stop();  // the server's side of the connection stays in the kernel for a minute
        peer.expect_end();
        peer.close();
        const ServerProcess second({.port = first.port()});
        expect_service(second);
    }

    TEST_CASE("its stdout is a closed pipe") {
        ServerProcess process({.descriptors = 16});
        process.close_stdout();
        make_it_complain(process);
    }

    TEST_CASE("started without stdin, stdout and stderr") {
        make_it_complain(ServerProcess({.descriptors = 16, .without_standard_streams = true}));
    }
}

TEST_SUITE("idle") {
    TEST_CASE("no work while nothing happens") {
        const ServerProcess process;
        Peer peer(process.port());
        peer.echo("x");
        expect_idle(process);
    }

    TEST_CASE("no work for clients that have disconnected") {
        const ServerProcess process;
        for (int i = 0; i < 10; ++i) {
            Peer peer(process.port());
            peer.echo("x");
            if (i % 2 == 0) peer.reset();
        }
        expect_service(process);
        expect_idle(process);
    }

    TEST_CASE("no work for a connection that is still open in another process") {
        const ServerProcess process;
        const std::size_t alone = process.descriptors();
        Peer leaving(process.port());
        leaving.echo("hello\n");
        // epoll watches the open file description, which stays while a duplicate of the
        // descriptor is open: closing the server's own does not remove it (epoll(7)).
        const auto duplicates = process.connections();
        if (duplicates.empty()) return skip("the system forbids pidfd_getfd(2)");
        leaving.close();
        expect_descriptors(process, alone);
        expect_idle(process);
        expect_service(process);
    }

    TEST_CASE("no work for a client that does not read its answer") {
        const ServerProcess process;
        Peer stalled(process.port(), 4096);
        stalled.send_until_full();
        stalled.half_close();
        if (server().burns) return expect_idle(process);
        process.wait_until_asleep();
        const std::uint64_t before = process.all_calls();
        while_another_server_answers(500);
        // The kernel may still find room for a few bytes: a few events, but not 500.
        CHECK_MESSAGE(process.all_calls() - before < 50,
                      "a client does not read its answer, and "
                      "the server made ",
                      process.all_calls() - before,
                      " system calls while another "
                      "one answered 500 requests: it spins. Does it watch for something that is "
                      "always true? (docs/04-epoll.md)");
    }

    TEST_CASE("system calls per request") {
        const ServerProcess process;
        Peer peer(process.port());
        round_trips(peer, 10);
        if (server().calls_for_a_request == 0) {
            CHECK(process.all_calls() > 20);
            return shows_limit("any number: it polls all the time");
        }
        process.wait_until_asleep();
        const std::uint64_t before = process.all_calls();
        const std::uint64_t changes = process.calls(Call::epoll_ctl);
        round_trips(peer, 100);
        process.wait_until_asleep();
        const std::uint64_t calls = process.all_calls() - before;
        CHECK_MESSAGE(calls <= 100 * server().calls_for_a_request, "100 requests took ", calls,
                      " system calls; this server needs ", server().calls_for_a_request,
                      " for each: one to wait, one to read, one to write (docs/04-epoll.md)");
        CHECK_MESSAGE(process.calls(Call::epoll_ctl) == changes,
                      "epoll_ctl is called for each request: call it only if the interest changes");
    }
}

TEST_SUITE("the price") {
    TEST_CASE("threads") {
        const ServerProcess process;
        std::list<Peer> peers;
        for (int i = 0; i < 50; ++i) peers.emplace_back(process.port());
        if (server().one_at_a_time) {
            peers.front().echo("x");
        } else {
            for (Peer& peer : peers) peer.echo("x");
        }
        if (server().thread_for_each) {
            CHECK_MESSAGE(process.threads() == (support::thread_sanitizer ? 52 : 51),
                          "50 clients should mean 50 threads and the one "
                          "that accepts; there are ",
                          process.threads());
            shows_limit("one per client");
        } else {
            CHECK_MESSAGE(process.threads() == 1, "one thread should do; there are ",
                          process.threads());
        }
    }

    TEST_CASE("one active client among 5,000 idle ones") {
        const int idle = server().burns ? 500 : 5000;  // polling all of them takes time
        rlimit limit{};
        ::getrlimit(RLIMIT_NOFILE, &limit);
        if (limit.rlim_max < static_cast<rlim_t>(idle) + 100)
            return skip("the hard limit on descriptors is too low");
        if (server().one_at_a_time || server().thread_for_each || server().highest_descriptor > 0) {
            return skip("see the limits above");
        }
        const ServerProcess process;
        std::list<Peer> peers;
        for (int i = 0; i < idle; ++i) {
            peers.emplace_back(process.port());
            if (i % 100 == 0) peers.back().echo("x");  // so that the queue does not overflow
        }
        peers.front().echo("the queue is empty now\n");
        if (!server().burns) process.wait_until_asleep();
        const std::uint64_t before = process.all_calls();
        round_trips(peers.back(), 100);
        const std::uint64_t calls = (process.all_calls() - before) / 100;
        if (server().calls_for_a_request == 0) {
            CHECK(calls > static_cast<std::uint64_t>(idle));
            return shows_limit("it polls all of them for each request");
        }
        CHECK_MESSAGE(calls <= server().calls_for_a_request, "a request takes ", calls,
                      " system calls while 5,000 clients are idle: its cost should depend on the "
                      "active clients, not on all of them (docs/04-epoll.md)");
    }
}

}  // namespace
