// Step 06.4: promises of I/O, a timeout as a race, and what a race does not do:
// stop the loser.
//
// The clock is chapter 05's simulated one, so 60 seconds pass at once.
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <utility>
#include <vector>

#include "chapters/05-callback-loop/clock.hpp"
#include "chapters/06-promises/combinators.hpp"
#include "chapters/06-promises/io.hpp"
#include "common/descriptor.hpp"
#include "common/error.hpp"

using namespace std::chrono_literals;

int main() {
    callbacks::SimulatedClock clock;
    const auto start = clock.now();
    promises::Io io(clock);

    std::array<int, 2> ends{};
    common::check(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()),
        "cannot make a socket pair");
    promises::Socket socket(io, common::Descriptor(ends[0]));
    const common::Descriptor peer(ends[1]);
    std::array<char, 100> buffer{};

    const auto say = [&](const char* what) {
        std::printf("%2d s: %s; still waiting: %zu\n",
                    static_cast<int>((clock.now() - start) / 1s), what,
                    io.waiting);
    };

    // Three lines. Each comes after one second, and has a timeout of 60.
    const auto line_or_timeout = [&] {
        io.loop.call_later(1s, [&] {
            common::check(static_cast<int>(write(peer.fd(), "line\n", 5)),
                          "cannot write");
        });
        return promises::race(
            io.jobs,
            std::vector{socket.read_some(buffer).then([](std::size_t) {}),
                        promises::sleep(io, 60s)});
    };
    line_or_timeout()
        .then([&] { say("the first line won its race"); })
        .then(line_or_timeout)
        .then([&] { say("the second line won its race"); })
        .then(line_or_timeout)
        .then([&] {
            say("the third line won, the conversation is over");
            socket.close();
        });
    io.loop.run();
    say("only now could the loop end");
}
