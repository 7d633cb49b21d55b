// Exercise 01.3: an accept loop, and each kind of error that accept(2) has.
#include <doctest/doctest.h>
#include <fcntl.h>

#include <cerrno>
#include <deque>
#include <string>
#include <system_error>

#include "chapters/01-blocking-read/exercises/accept_loop.hpp"
#include "tests/support/interposed.hpp"
#include "tests/support/test.hpp"

namespace {

constexpr int client = 0;

/// A listener that follows a script. After the last answer it is broken: EBADF.
struct ScriptedListener : support::Interposed {
    explicit ScriptedListener(std::deque<int> script) : errors(std::move(script)) {
        accept = [this](int) -> int {
            const int error = errors.empty() ? EBADF : errors.front();
            if (errors.empty() && ++asked_at_end > 100) throw support::Spinning();
            if (!errors.empty()) errors.pop_front();
            if (error == client) {
                story += "client ";
                const bool inherited = (support::accept_flags & SOCK_CLOEXEC) == 0;
                return ::open("/dev/null", O_RDONLY | (inherited ? 0 : O_CLOEXEC));
            }
            story += "error ";
            errno = error;
            return -1;
        };
    }

    /// Runs the loop to its end. Returns the events, in order.
    std::string run() {
        int broken = 0;
        bool spins = false;
        try {
            blocking::accept_loop(
                7,
                [this](const common::Descriptor& socket) {
                    story += "serve ";
                    CHECK_MESSAGE((::fcntl(socket.fd(), F_GETFD) & FD_CLOEXEC) != 0,
                                  "the client's socket should be close-on-exec: a program that the "
                                  "server starts would keep the connection open (SOCK_CLOEXEC)");
                },
                [this] { story += "pause "; });
        } catch (const std::system_error& error) {
            broken = error.code().value();
        } catch (const support::Spinning&) {
            spins = true;
        }
        CHECK_MESSAGE(
            !spins,
            "the loop spins: accept failed 100 times with EBADF and was called again. This "
            "listener will never work again, so throw (docs/01-blocking-read.md)");
        if (!spins) {
            CHECK_MESSAGE(errors.empty(), "the loop ended with \"",
                          std::generic_category().message(broken),
                          "\" while the listener was fine");
            CHECK_MESSAGE(broken == EBADF, "for EBADF the loop should throw std::system_error");
        }
        return spins ? story.substr(0, 60) + "..." : story;
    }

    std::deque<int> errors;
    std::string story;
    int asked_at_end = 0;
};

}  // namespace

TEST_CASE("01.3 a client that has left the queue neither ends the loop nor pauses it") {
    INFO("accept(2) failed with ECONNABORTED, EINTR and EPROTO; then a client came");
    ScriptedListener listener({ECONNABORTED, EINTR, EPROTO, client});
    const std::string story = listener.run();
    CHECK_MESSAGE(
        story == "error error error client serve error ",
        "expected: three errors, a client that is served, and the end; what happened: ", story);
}

TEST_CASE("01.3 an error of the new connection is no error of the listener") {
    for (const int error : {ENETDOWN, EPROTO, ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH,
                            EOPNOTSUPP, ENETUNREACH, EPERM}) {
        INFO("accept(2) failed with \"", std::generic_category().message(error),
             "\", which it reports for the connection (accept(2), \"Error handling\"); then a "
             "client came");
        ScriptedListener listener({error, client});
        const std::string story = listener.run();
        CHECK_MESSAGE(story == "error client serve error ",
                      "expected: error client serve error; what happened: ", story);
    }
}

TEST_CASE("01.3 it neither gives up nor pauses less after many failures") {
    INFO("accept(2) failed 50 times with EMFILE, a client came, and it failed 50 times again");
    std::deque<int> script(50, EMFILE);
    script.push_back(client);
    script.insert(script.end(), 50, EMFILE);
    script.push_back(client);
    std::string expected;
    for (int round = 0; round < 2; ++round) {
        for (int i = 0; i < 50; ++i) expected += "error pause ";
        expected += "client serve ";
    }
    const std::string story = ScriptedListener(script).run();
    CHECK_MESSAGE(story == expected + "error ",
                  "expected: a pause after each of the 100 errors, and both clients served; what "
                  "happened: ",
                  support::difference(story, expected + "error "));
}

TEST_CASE("01.3 when descriptors or memory run out, it pauses before it tries again") {
    for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM}) {
        INFO("accept(2) failed twice with \"", std::generic_category().message(error),
             "\"; then there was room again, and the client in the queue was accepted");
        ScriptedListener listener({error, error, client});
        const std::string story = listener.run();
        CHECK_MESSAGE(
            story == "error pause error pause client serve error ",
            "expected: error pause error pause client serve error; what happened: ", story,
            ". The client is still in the queue, so accept fails at once each time: "
            "without a pause a full table burns a core");
    }
}

TEST_CASE("01.3 a broken listener ends the loop with an exception") {
    INFO("two clients were accepted; then the listener was no longer a socket (EBADF)");
    ScriptedListener listener({client, client});
    const std::string story = listener.run();
    CHECK_MESSAGE(story == "client serve client serve error ",
                  "expected: client serve client serve error; what happened: ", story);
}
