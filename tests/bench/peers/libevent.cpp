// The echo server on libevent, with its buffered events.
#if __has_include(<event2/event.h>)
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstdio>

namespace {

void on_read(bufferevent* client, void* /*context*/) {
    bufferevent_write_buffer(client, bufferevent_get_input(client));  // moves, does not copy
}

void on_event(bufferevent* client, short /*what*/, void* /*context*/) {
    bufferevent_free(client);
}

void on_connection(evconnlistener* listener, evutil_socket_t socket, sockaddr* /*address*/,
                   int /*size*/, void* /*context*/) {
    const int on = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    event_base* base = evconnlistener_get_base(listener);
    bufferevent* client = bufferevent_socket_new(base, socket, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(client, on_read, nullptr, on_event, nullptr);
    bufferevent_enable(client, EV_READ | EV_WRITE);
}

}  // namespace

int main() {
    event_base* base = event_base_new();
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    evconnlistener* listener = evconnlistener_new_bind(
        base, on_connection, nullptr, LEV_OPT_CLOSE_ON_FREE, SOMAXCONN, generic, sizeof address);
    socklen_t size = sizeof address;
    ::getsockname(evconnlistener_get_fd(listener), generic, &size);
    std::printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    std::fflush(stdout);
    return event_base_dispatch(base);
}
#endif
