// The baseline: the barest level-triggered epoll loop that echoes.
#include <sys/epoll.h>

#include "tests/bench/peers/bare.hpp"

int main() {
    const int listener = bare::listen_and_say_where();
    const int epoll = ::epoll_create1(0);
    epoll_event event{EPOLLIN, {.fd = listener}};
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    while (true) {
        epoll_event events[256];
        const int count = ::epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < count; ++i) {
            if (events[i].data.fd != listener) {
                bare::echo(events[i].data.fd);
            } else {
                event.data.fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
                ::epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event);
            }
        }
    }
}
