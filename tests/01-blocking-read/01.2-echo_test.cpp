// Exercise 01.2: echo(), the conversation with one client.
#include <doctest/doctest.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <deque>
#include <string>
#include <utility>

#include "chapters/01-blocking-read/echo.hpp"
#include "common/descriptor.hpp"
#include "tests/support/interposed.hpp"
#include "tests/support/test.hpp"

namespace {

using support::difference;
using support::quoted;

/// A client that follows a script: each read(2) gets the next answer, and each write(2) is
/// recorded.
struct ScriptedClient : support::Interposed {
    struct Answer {
        std::string bytes{};  // NOLINT(readability-redundant-member-init): g++ warns without {}
        int error = 0;
    };

    /// After the last answer, every further read returns 0: the end of input.
    explicit ScriptedClient(std::deque<Answer> script) : answers(std::move(script)) {
        read = [this](int, void* data, std::size_t size) -> ssize_t {
            if (answers.empty()) {
                if (++asked_at_end > 100) throw support::Spinning();
                return 0;
            }
            Answer& answer = answers.front();
            if (answer.error != 0) {
                errno = answer.error;
                answers.pop_front();
                return -1;
            }
            const std::size_t count = std::min(size, answer.bytes.size());
            std::memset(data, '?', size);  // bytes after the result are not part of it
            std::memcpy(data, answer.bytes.data(), count);
            answer.bytes.erase(0, count);  // a small buffer gets the rest in the next read
            if (answer.bytes.empty()) answers.pop_front();
            return static_cast<ssize_t>(count);
        };
        write = [this](int, const void* data, std::size_t size) -> ssize_t {
            if (deaf) {
                if (++refused > 100) throw support::Spinning();
                errno = EPIPE;
                return -1;
            }
            heard.append(static_cast<const char*>(data), size);
            return static_cast<ssize_t>(size);
        };
    }

    /// Runs echo(). Fails with `why` if it never returns.
    void converse(const std::string& why) {
        const common::Descriptor socket(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        try {
            blocking::echo(socket.fd());
        } catch (const support::Spinning&) {
            FAIL_CHECK("echo() made more than 100 further calls. ", why,
                       " (docs/01-blocking-read.md)");
        }
        CHECK_MESSAGE(::fcntl(socket.fd(), F_GETFD) != -1,
                      "echo() closed the socket. Its caller closes it, too: by then the number may "
                      "belong to another client");
    }

    std::deque<Answer> answers;
    std::string heard;
    int asked_at_end = 0;
    bool deaf = false;
    int refused = 0;
};

}  // namespace

TEST_CASE("01.2 every byte comes back, until the end of input") {
    INFO("the client sent 'hello\\n', then 'how are you?\\n', then its end of input (read: 0)");
    ScriptedClient client({{"hello\n"}, {"how are you?\n"}});
    client.converse("0 from read(2) is the end of input: no more bytes will come");
    const std::string wrong = difference(client.heard, "hello\nhow are you?\n");
    CHECK_MESSAGE(wrong.empty(), "the client should have received the same bytes: ", wrong);
}

TEST_CASE("01.2 bytes may have any value, 0 and 255 too") {
    std::string bytes;
    for (int value = 255; value >= 0; --value) bytes += static_cast<char>(value);
    INFO("the client sent every value that a byte can have, from 255 down to 0, twice");
    ScriptedClient client({{bytes}, {bytes}});
    client.converse("0 from read(2) is the end of input");
    CHECK_MESSAGE(client.heard.size() == 512, "512 bytes should have come back; the number was ",
                  client.heard.size(),
                  ". A buffer is not a C string: read(2) returns how many bytes it "
                  "has put there");
    const std::string wrong = difference(client.heard, bytes + bytes);
    CHECK_MESSAGE(wrong.empty(), "the same bytes should have come back: ", wrong);
}

TEST_CASE("01.2 a signal during a read does not end the conversation") {
    INFO("the client sent 'a'; the next three reads failed with EINTR; then came 'b', and the end");
    ScriptedClient client({{"a"}, {"", EINTR}, {"", EINTR}, {"", EINTR}, {"b"}});
    client.converse("0 from read(2) is the end of input");
    CHECK_MESSAGE(client.heard == "ab", "'ab' should have come back; what came was ",
                  quoted(client.heard),
                  ". EINTR says that a signal came first, and nothing about the client");
}

TEST_CASE("01.2 a connection that breaks ends the conversation") {
    INFO("the client sent 'a', then the connection was reset (ECONNRESET)");
    ScriptedClient client({{"a"}, {"", ECONNRESET}, {"never sent"}});
    client.converse("an error other than EINTR does not go away");
    CHECK_MESSAGE(client.heard == "a",
                  "after the reset there is nothing to read or write; written was ",
                  quoted(client.heard));
}

TEST_CASE("01.2 a client that cannot be written to is not read from") {
    INFO("the client sent 'a' and disconnected: write(2) fails with EPIPE");
    ScriptedClient client({{"a"}, {"b"}, {"c"}});
    client.deaf = true;
    client.converse("write_all() returns whether the client is still connected");
    CHECK_MESSAGE(client.answers.size() == 2,
                  "echo() kept reading after write_all() had returned false");
}

namespace {

/// Sends `text` in one piece, and expects it back from one write.
void expect_one_write(const std::string& text, const std::string& why) {
    ScriptedClient client({{text}});
    int writes = 0;
    client.write = [&, take = client.write](int fd, const void* data, std::size_t size) {
        ++writes;
        return take(fd, data, size);
    };
    client.converse("0 from read(2) is the end of input");
    const std::string wrong = difference(client.heard, text);
    CHECK_MESSAGE(wrong.empty(), "the same bytes should have come back: ", wrong);
    CHECK_MESSAGE(writes == 1, "write(2) was called ", writes, " times: ", why);
}

}  // namespace

TEST_CASE("01.2 a line takes one read and one write") {
    INFO("the client sent 'how are you?\\n', which was there in one piece");
    expect_one_write("how are you?\n",
                     "each call costs time, so send back what one read returned at once");
}

TEST_CASE("01.2 a block of 16 KiB takes one read and one write") {
    expect_one_write(std::string(16 * 1024, 'x'),
                     "with a small buffer, each request costs more system calls");
}
