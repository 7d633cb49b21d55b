// A process for each client: how servers were written before there were threads.
#include <csignal>

#include "tests/bench/peers/bare.hpp"

int main() {
    const int listener = bare::listen_and_say_where();
    std::signal(SIGCHLD, SIG_IGN);  // the kernel reaps the children
    while (true) {
        const int client = ::accept(listener, nullptr, nullptr);
        if (::fork() == 0) {
            ::close(listener);
            while (bare::echo(client)) {
            }
            return 0;
        }
        ::close(client);
    }
}
