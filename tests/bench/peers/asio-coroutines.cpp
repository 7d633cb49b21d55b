// The echo server on Asio, with coroutines.
#if __has_include(<asio.hpp>)
#include <array>
#include <asio.hpp>
#include <cstddef>
#include <cstdio>
#include <system_error>
#include <utility>

namespace {

using asio::awaitable;
using asio::use_awaitable;
using asio::ip::tcp;

awaitable<void> converse(tcp::socket socket) try {
    std::array<char, 16 * 1024> buffer;
    while (true) {
        const std::size_t count =
            co_await socket.async_read_some(asio::buffer(buffer), use_awaitable);
        co_await asio::async_write(socket, asio::buffer(buffer, count), use_awaitable);
    }
} catch (const std::system_error&) {
}

awaitable<void> serve(tcp::acceptor& acceptor) {
    while (true) {
        tcp::socket socket = co_await acceptor.async_accept(use_awaitable);
        socket.set_option(tcp::no_delay(true));
        asio::co_spawn(acceptor.get_executor(), converse(std::move(socket)), asio::detached);
    }
}

}  // namespace

int main() {
    asio::io_context context(1);  // one thread: Asio locks less then
    tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
    std::printf("listening on 127.0.0.1:%d\n", acceptor.local_endpoint().port());
    std::fflush(stdout);
    asio::co_spawn(context, serve(acceptor), asio::detached);
    context.run();
}
#endif
