// The barest poll(2) loop that echoes.
#include <poll.h>

#include <cstddef>
#include <vector>

#include "tests/bench/peers/bare.hpp"

int main() {
    const int listener = bare::listen_and_say_where();
    std::vector<pollfd> watched{{listener, POLLIN, 0}};
    while (true) {
        int ready = ::poll(watched.data(), watched.size(), -1);
        for (std::size_t i = watched.size() - 1; i > 0 && ready > 0; --i) {
            if (watched[i].revents == 0) continue;
            --ready;
            if (bare::echo(watched[i].fd)) continue;
            watched[i] = watched.back();
            watched.pop_back();
        }
        if ((watched[0].revents & POLLIN) != 0) {
            const int client = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
            watched.push_back({client, POLLIN, 0});
        }
    }
}
