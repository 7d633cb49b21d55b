// Step 02.1: a read that does not sleep. It says EAGAIN: "nothing yet, ask
// again".
//
// Somebody will send a line in 10 ms. Until then we ask, and count how often.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <thread>

#include "common/descriptor.hpp"
#include "common/error.hpp"

int main() {
    std::array<int, 2>
        // Two connected sockets: what is written to one is read from the other
        ends{};
    common::check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()),
                  "cannot make a socket pair");
    const common::Descriptor ours(ends[0]);
    const common::Descriptor theirs(ends[1]);

    // The one change to chapter 01. From now on no call on this descriptor
    // sleeps (fcntl(2)).
    const int flags =
        common::check(fcntl(ours.fd(), F_GETFL), "cannot read the flags");
    common::check(fcntl(ours.fd(), F_SETFL, flags | O_NONBLOCK),
                  "cannot set O_NONBLOCK");

    std::thread somebody([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        common::check(static_cast<int>(write(theirs.fd(), "hello\n", 6)),
                      "cannot write");
    });

    std::array<char, 100> buffer{};
    long asked = 0;
    ssize_t count = -1;
    do {
        count = read(ours.fd(), buffer.data(), buffer.size());
        ++asked;
    } while (count < 0 && (errno == EAGAIN || errno == EINTR));

    std::printf("asked %ld times, %ld times in vain (EAGAIN)\n", asked,
                asked - 1);
    std::printf("then read %zd bytes: %.*s", count, static_cast<int>(count),
                buffer.data());
    somebody.join();
}
