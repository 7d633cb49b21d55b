// Exercise 02.1, continued: short writes and signals.
#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <string>
#include <utility>

#include "chapters/02-polling/client.hpp"
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
    CHECK(client.state() == polling::Client::State::reading);
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
    CHECK_MESSAGE(client.state() == polling::Client::State::reading,
                  "EINTR says that a signal came first: try again in the next turn");
    CHECK(pair.heard() == "hello");
}
