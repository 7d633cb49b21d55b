// The echo server on libuv, the loop below Node.js.
#if __has_include(<uv.h>)
#include <uv.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>

namespace {

struct Client {
    uv_tcp_t socket;
    uv_write_t write;
    char buffer[16 * 1024];
};

void free_client(uv_handle_t* handle) {
    delete static_cast<Client*>(handle->data);
}

void close_client(Client* client) {
    uv_close(reinterpret_cast<uv_handle_t*>(&client->socket), free_client);
}

void give_buffer(uv_handle_t* handle, std::size_t /*suggested*/, uv_buf_t* buffer) {
    auto* client = static_cast<Client*>(handle->data);
    *buffer = uv_buf_init(client->buffer, sizeof client->buffer);
}

void on_read(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer);

void on_written(uv_write_t* write, int status) {
    auto* client = static_cast<Client*>(write->data);
    if (status < 0) return close_client(client);
    uv_read_start(reinterpret_cast<uv_stream_t*>(&client->socket), give_buffer, on_read);
}

void on_read(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
    auto* client = static_cast<Client*>(stream->data);
    if (count == 0) return;  // EAGAIN
    if (count < 0) return close_client(client);
    // At once if possible: the cheapest way that libuv has.
    uv_buf_t answer = uv_buf_init(buffer->base, static_cast<unsigned>(count));
    const int sent = uv_try_write(stream, &answer, 1);
    if (sent == count) return;
    if (sent < 0 && sent != UV_EAGAIN) return close_client(client);
    const int already = sent < 0 ? 0 : sent;
    uv_read_stop(stream);
    answer.base += already;
    answer.len -= static_cast<std::size_t>(already);
    client->write.data = client;
    uv_write(&client->write, stream, &answer, 1, on_written);
}

void on_connection(uv_stream_t* listener, int /*status*/) {
    auto* client = new Client;
    uv_tcp_init(listener->loop, &client->socket);
    client->socket.data = client;
    auto* stream = reinterpret_cast<uv_stream_t*>(&client->socket);
    if (uv_accept(listener, stream) != 0) return close_client(client);
    uv_tcp_nodelay(&client->socket, 1);
    uv_read_start(stream, give_buffer, on_read);
}

}  // namespace

int main() {
    uv_loop_t* loop = uv_default_loop();
    uv_tcp_t listener;
    sockaddr_in address{};
    uv_ip4_addr("127.0.0.1", 0, &address);
    uv_tcp_init(loop, &listener);
    uv_tcp_bind(&listener, reinterpret_cast<sockaddr*>(&address), 0);
    uv_listen(reinterpret_cast<uv_stream_t*>(&listener), SOMAXCONN, on_connection);
    int size = sizeof address;
    uv_tcp_getsockname(&listener, reinterpret_cast<sockaddr*>(&address), &size);
    std::printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    std::fflush(stdout);
    return uv_run(loop, UV_RUN_DEFAULT);
}
#endif
