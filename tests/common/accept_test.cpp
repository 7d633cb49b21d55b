// The listener, when accept(2) fails: every code of its man page, and what it says about that.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <deque>
#include <string>
#include <system_error>
#include <utility>

#include "common/descriptor.hpp"
#include "common/listener.hpp"
#include "tests/support/interposed.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/test.hpp"

namespace {

using common::Descriptor;
using common::Listener;

constexpr int client = 0;

/// Each accept(2) gets the next answer: an error, or a client.
struct ScriptedAccept : support::Interposed {
    explicit ScriptedAccept(std::deque<int> script) : answers(std::move(script)) {
        accept = [this](int) -> int {
            REQUIRE_MESSAGE(!answers.empty(), "accept(2) was called again");
            const int answer = answers.front();
            answers.pop_front();
            if (answer == client) return ::open("/dev/null", O_RDONLY | O_CLOEXEC);
            errno = answer;
            return -1;
        };
    }

    std::deque<int> answers;
};

/// During its lifetime, stderr is a file in memory.
class CapturedStderr {
public:
    CapturedStderr()
        : before_(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)),
          file_(::memfd_create("stderr", MFD_CLOEXEC)) {
        ::dup2(file_.fd(), STDERR_FILENO);
    }
    ~CapturedStderr() { ::dup2(before_.fd(), STDERR_FILENO); }
    CapturedStderr(const CapturedStderr&) = delete;
    CapturedStderr& operator=(const CapturedStderr&) = delete;

    [[nodiscard]] std::string text() const {
        std::string text(4096, '\0');
        text.resize(static_cast<std::size_t>(
            std::max<ssize_t>(0, ::pread(file_.fd(), text.data(), text.size(), 0))));
        return text;
    }

private:
    Descriptor before_;
    Descriptor file_;
};

/// During its lifetime, this process may have only descriptors below `first`.
class DescriptorLimit {
public:
    explicit DescriptorLimit(int first) {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        const rlimit less{static_cast<rlim_t>(first), before_.rlim_max};
        ::setrlimit(RLIMIT_NOFILE, &less);
    }
    ~DescriptorLimit() { ::setrlimit(RLIMIT_NOFILE, &before_); }
    DescriptorLimit(const DescriptorLimit&) = delete;
    DescriptorLimit& operator=(const DescriptorLimit&) = delete;

private:
    rlimit before_{};
};

int next_free() {
    return Descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC)).fd();
}

}  // namespace

TEST_SUITE("Listener, when accept fails") {
    TEST_CASE("an error of one connection is no error of the listener") {
        for (const int error : {EAGAIN, EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT,
                                EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH, ETIMEDOUT,
                                EPROTONOSUPPORT, ESOCKTNOSUPPORT, EPERM}) {
            INFO("accept(2) failed with \"", std::generic_category().message(error),
                 "\"; then a client came");
            const CapturedStderr captured;
            Listener listener(0, Listener::Mode::non_blocking);
            ScriptedAccept kernel({error, client});
            CHECK_FALSE(listener.accept());
            CHECK_MESSAGE(!listener.paused(), "the next client can be accepted at once");
            CHECK(listener.accept());
            CHECK_MESSAGE(captured.text().empty(), "it should say nothing");
        }
    }

    TEST_CASE("without descriptors or memory, the next client is refused with the reserve") {
        for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSR}) {
            const std::string why = std::generic_category().message(error);
            INFO("accept(2) failed with \"", why, "\"; with the reserve it succeeded");
            const CapturedStderr captured;
            Listener listener(0, Listener::Mode::non_blocking);
            ScriptedAccept kernel({error, client});
            CHECK_FALSE(listener.accept());
            CHECK_FALSE(listener.paused());
            CHECK(captured.text() == "refusing clients: " + why + "\n");
        }
    }

    TEST_CASE("a bug is an exception: what it listens on is no listening socket") {
        for (const int error : {EBADF, EINVAL, ENOTSOCK, EFAULT}) {
            Listener listener(0, Listener::Mode::non_blocking);
            ScriptedAccept kernel({error});
            CHECK_THROWS_AS(listener.accept(), std::system_error);
        }
    }

    TEST_CASE("it says once an episode that it refuses clients") {
        const CapturedStderr captured;
        Listener listener(0, Listener::Mode::non_blocking);
        INFO("the table was full for three clients; one was accepted; it was full for two more");
        ScriptedAccept kernel({EMFILE, client, EMFILE, client, EMFILE, client, client, EMFILE,
                               client, ENFILE, client});
        for (int i = 0; i < 6; ++i) static_cast<void>(listener.accept());
        CHECK(captured.text() ==
              "refusing clients: Too many open files\nrefusing clients: Too many open files\n");
    }

    TEST_CASE("a full table and an empty queue: nothing is said, and it does not pause") {
        const CapturedStderr captured;
        Listener listener(0, Listener::Mode::non_blocking);
        ScriptedAccept kernel({EMFILE, EAGAIN});
        CHECK_FALSE(listener.accept());
        CHECK_FALSE(listener.paused());
        CHECK(captured.text().empty());
    }

    TEST_CASE("a pause lasts 100 ms: neither less, by rounding, nor without an end") {
        const CapturedStderr captured;
        Listener listener(0, Listener::Mode::non_blocking);
        ScriptedAccept kernel({ENFILE, ENFILE, client});
        const auto before = std::chrono::steady_clock::now();
        CHECK_FALSE(listener.accept());
        CHECK(listener.paused());
        CHECK(listener.pause() <= std::chrono::milliseconds(100));
        support::wait_until("the end of the pause", [&] { return !listener.paused(); });
        CHECK_MESSAGE(std::chrono::steady_clock::now() - before >= std::chrono::milliseconds(100),
                      "it ended early: rounded down, the last millisecond is no pause, and the "
                      "server spins");
        CHECK_MESSAGE(listener.pause().count() == 0, "a pause that is over is zero, not negative");
        CHECK(listener.accept());
    }

    TEST_CASE("in blocking mode it sleeps through its own pause") {
        const CapturedStderr captured;
        Listener listener(0, Listener::Mode::blocking);
        const support::Peer first(listener.port());
        ScriptedAccept kernel({ENFILE, ENFILE, client});
        CHECK_FALSE(listener.accept());
        CHECK(listener.paused());
        CHECK(listener.accept());
        CHECK_MESSAGE(!listener.paused(), "accept() should have returned only after the pause");
    }

    TEST_CASE("a reserve that was lost is opened again as soon as it is possible") {
        const CapturedStderr captured;
        Listener listener(0, Listener::Mode::non_blocking);
        support::Peer first(listener.port());
        {
            INFO("there was no descriptor, not even to refuse a client: the reserve is lost");
            const DescriptorLimit none(3);
            CHECK_FALSE(listener.accept());
            CHECK(listener.paused());
        }
        INFO("then there were descriptors again, and a client was accepted");
        const Descriptor accepted = listener.accept();
        CHECK(accepted);
        support::wait_until("the end of the pause", [&] { return !listener.paused(); });

        for (int i = 0; i < 2; ++i) {
            INFO("then the table was full: the reserve should serve to refuse a client");
            const support::Peer next(listener.port());
            const DescriptorLimit full(next_free());
            CHECK_FALSE(listener.accept());
            CHECK_MESSAGE(!listener.paused(), "it paused: it has no reserve any more");
        }
    }
}
