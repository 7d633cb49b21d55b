// The barest select(2) loop that echoes. Takes no descriptor above 1023.
#include <sys/select.h>

#include <algorithm>

#include "tests/bench/peers/bare.hpp"

int main() {
    const int listener = bare::listen_and_say_where();
    fd_set watched;
    FD_ZERO(&watched);
    FD_SET(listener, &watched);
    int highest = listener;
    while (true) {
        fd_set ready = watched;
        int count = ::select(highest + 1, &ready, nullptr, nullptr, nullptr);
        for (int fd = listener; fd <= highest && count > 0; ++fd) {
            if (!FD_ISSET(fd, &ready)) continue;
            --count;
            if (fd != listener) {
                if (!bare::echo(fd)) FD_CLR(fd, &watched);
                continue;
            }
            const int client = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
            if (client >= FD_SETSIZE) {
                ::close(client);
                continue;
            }
            FD_SET(client, &watched);
            highest = std::max(highest, client);
        }
    }
}
