// Exercise 02.1, continued: short writes and signals.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <fstream>
#include <list>
#include <string>
#include <system_error>
#include <utility>

#include "chapters/02-polling/client.hpp"
#include "tests/02-polling/state.hpp"
#include "tests/support/interposed.hpp"
#include "tests/support/socket_pair.hpp"
#include "tests/support/test.hpp"

TEST_CASE("02.1 after a short write, the next one continues where it stopped") {
    support::SocketPair pair;
    polling::Client client(std::move(pair.ours));
    INFO("the client sent 'hello world\\n'; each write(2) took at most 3 bytes of the answer");
    pair.say("hello world\n");
    {
        support::Interposed kernel;
        kernel.write = [](int fd, const void* data, std::size_t size) {
            return support::Interposed::real_write(fd, data, std::min<std::size_t>(size, 3));
        };
        for (int turn = 0; turn < 10; ++turn) client.serve();
    }
    const std::string heard = pair.heard();
    CHECK_MESSAGE(heard == "hello world\n", "all of it should have come back; what came was ",
                  support::quoted(heard),
                  ". write(2) returns how many bytes it took: continue after them "
                  "(docs/02-polling.md)");
    support::expect_state(client, "reading", "all that it was owed has been written");
}

TEST_CASE("02.1 after a signal, serve() says that more may be possible at once") {
    for (const bool in_write : {false, true}) {
        INFO("the client sent 'hello'; one ", std::string(in_write ? "write(2)" : "read(2)"),
             " failed with EINTR");
        support::SocketPair pair;
        if (in_write) support::SocketPair::fill(pair.ours.fd());
        polling::Client client(std::move(pair.ours));
        pair.say("hello");
        if (in_write) {
            client.serve();                   // it reads, and there is no room to write
            static_cast<void>(pair.heard());  // now there is room
        }
        bool more = false;
        {
            support::Interposed kernel;
            int calls = 0;
            kernel.read = [&](int fd, void* data, std::size_t size) -> ssize_t {
                if (!in_write && ++calls == 1) return errno = EINTR, -1;
                return support::Interposed::real_read(fd, data, size);
            };
            kernel.write = [&](int fd, const void* data, std::size_t size) -> ssize_t {
                if (in_write && ++calls == 1) return errno = EINTR, -1;
                return support::Interposed::real_write(fd, data, size);
            };
            more = client.serve();
        }
        CHECK_MESSAGE(more,
                      "serve() returned false, which says that nothing is possible until the "
                      "kernel reports a change. EINTR says only that a signal came first: a server "
                      "that sleeps after false (chapter 04) would never serve this client again "
                      "(docs/02-polling.md, step 4)");
        for (int i = 0; i < 10 && client.serve(); ++i) {
        }
        const std::string heard = pair.heard();
        CHECK_MESSAGE(heard == "hello", "'hello' should have come back; what came was ",
                      support::quoted(heard));
    }
}

TEST_CASE("02.1 a client that does not read keeps a turn no longer than one that does") {
    support::SocketPair pair;
    polling::Client client(std::move(pair.ours));
    INFO("the client sent 'hello', and there was room for 2 bytes of the answer");
    pair.say("hello");
    int writes = 0;
    support::Interposed kernel;
    kernel.write = [&](int fd, const void* data, std::size_t size) -> ssize_t {
        if (++writes > 10) throw support::Spinning();
        if (writes > 1) return errno = EAGAIN, -1;
        return support::Interposed::real_write(fd, data, std::min<std::size_t>(size, 2));
    };
    try {
        client.serve();
    } catch (const support::Spinning&) {
        FAIL_CHECK(
            "serve() kept calling write(2), which failed with EAGAIN each time. The rest has to "
            "wait for a later turn, so that no client delays the others (docs/02-polling.md)");
    }
    support::expect_state(client, "writing", "3 bytes are still owed");
}

TEST_CASE("02.1 any other error ends the client, in a read and in a write") {
    for (const int error : {ECONNRESET, ETIMEDOUT, ENOBUFS, ENOMEM, EHOSTUNREACH}) {
        for (const bool in_write : {false, true}) {
            INFO(std::string(in_write ? "write(2)" : "read(2)"), " failed with \"",
                 std::generic_category().message(error), "\"");
            support::SocketPair pair;
            polling::Client client(std::move(pair.ours));
            pair.say("hello");
            support::Interposed kernel;
            const auto fail = [error]() -> ssize_t { return errno = error, -1; };
            if (in_write) {
                kernel.write = [fail](int, const void*, std::size_t) { return fail(); };
            } else {
                kernel.read = [fail](int, void*, std::size_t) { return fail(); };
            }
            CHECK_MESSAGE(!client.serve(), "nothing more is possible: serve() should return false");
            support::expect_state(client, "finished", "this error does not go away");
        }
    }
}

TEST_CASE("02.1 a signal during a read or a write loses nothing") {
    support::SocketPair pair;
    polling::Client client(std::move(pair.ours));
    INFO("every second read(2) and write(2) failed with EINTR");
    pair.say("hello");
    {
        support::Interposed kernel;
        int calls = 0;
        const auto interrupted = [&calls] {
            errno = EINTR;
            return ++calls % 2 == 1;
        };
        kernel.read = [&](int fd, void* data, std::size_t size) -> ssize_t {
            return interrupted() ? -1 : support::Interposed::real_read(fd, data, size);
        };
        kernel.write = [&](int fd, const void* data, std::size_t size) -> ssize_t {
            return interrupted() ? -1 : support::Interposed::real_write(fd, data, size);
        };
        for (int turn = 0; turn < 10; ++turn) client.serve();
    }
    support::expect_state(client, "reading",
                          "EINTR says that a signal came first: try again in the next turn");
    const std::string heard = pair.heard();
    CHECK_MESSAGE(heard == "hello", "'hello' should have come back; what came was ",
                  support::quoted(heard));
}

TEST_CASE("a block of 16 kB takes one read and one write") {
    support::SocketPair pair;
    polling::Client client(std::move(pair.ours));
    pair.say(std::string(16 * 1024, 'x'));
    int calls = 0;
    {
        support::Interposed kernel;
        kernel.read = [&](int fd, void* data, std::size_t size) {
            ++calls;
            return support::Interposed::real_read(fd, data, size);
        };
        kernel.write = [&](int fd, const void* data, std::size_t size) {
            ++calls;
            return support::Interposed::real_write(fd, data, size);
        };
        client.serve();
    }
    CHECK(pair.heard().size() == 16 * 1024);
    CHECK_MESSAGE(calls == 2, "with a small buffer, each request costs more system calls");
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitizer = true;
#elif defined(__has_feature)
constexpr bool sanitizer = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool sanitizer = false;
#endif

TEST_CASE("a client that sends short lines costs one page of memory, not four") {
    const auto memory = [] {
        long size = 0;
        long resident = 0;
        std::ifstream("/proc/self/statm") >> size >> resident;
        return resident * ::sysconf(_SC_PAGESIZE);
    };
    constexpr int count = 200;
    const auto pages = [&] {
        std::list<support::SocketPair> pairs(count);
        std::list<polling::Client> clients;
        const long before = memory();
        for (support::SocketPair& pair : pairs) {
            polling::Client& client = clients.emplace_back(std::move(pair.ours));
            pair.say("hello");
            client.serve();
        }
        return memory() - before;
    };
    if (sanitizer) return support::skip("a sanitizer has memory of its own for each object");
    const long grown = pages();
    CHECK_MESSAGE(grown < count * 10'000L, count, " clients took ", grown,
                  " bytes. A buffer that is zeroed first is touched from end to end");
}
