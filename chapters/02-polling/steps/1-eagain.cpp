// Step 02.1: a read that does not block. It fails with EAGAIN: "nothing yet".
//
// Another thread sends a line after 10 ms. Until then we read in a loop, and
// count the calls.
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
    // Two connected sockets: what is written to one is read from the other.
    std::array<int, 2> ends{};
    common::check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()),
                  "cannot make a socket pair");
    const common::Descriptor ours(ends[0]);
    const common::Descriptor theirs(ends[1]);

    // The one change from chapter 01: calls on this socket no longer block
    // (fcntl(2)).
    const int flags =
        common::check(fcntl(ours.fd(), F_GETFL), "cannot read the flags");
    common::check(fcntl(ours.fd(), F_SETFL, flags | O_NONBLOCK),
                  "cannot set O_NONBLOCK");

    std::thread sender([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        common::check(static_cast<int>(write(theirs.fd(), "hello\n", 6)),
                      "cannot write");
    });

    std::array<char, 100> buffer{};
    long reads = 0;
    ssize_t count = -1;
    do {
        count = read(ours.fd(), buffer.data(), buffer.size());
        ++reads;
    } while (count < 0 && (errno == EAGAIN || errno == EINTR));

    std::printf("%ld reads, %ld of them EAGAIN\n", reads, reads - 1);
    std::printf("the last one returned %zd bytes: %.*s", count,
                static_cast<int>(count), buffer.data());
    sender.join();
}
