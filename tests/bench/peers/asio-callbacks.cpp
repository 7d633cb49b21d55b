// The echo server on Asio, with callbacks.
#if __has_include(<asio.hpp>)
#include <array>
#include <asio.hpp>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <system_error>
#include <utility>

namespace {

using asio::ip::tcp;

class Client : public std::enable_shared_from_this<Client> {
public:
    explicit Client(tcp::socket socket) : socket_(std::move(socket)) {}

    void read() {
        socket_.async_read_some(asio::buffer(buffer_),
                                [self = shared_from_this()](std::error_code error, std::size_t n) {
                                    if (!error) self->write(n);
                                });
    }

private:
    void write(std::size_t count) {
        asio::async_write(socket_, asio::buffer(buffer_, count),
                          [self = shared_from_this()](std::error_code error, std::size_t /*n*/) {
                              if (!error) self->read();
                          });
    }

    tcp::socket socket_;
    std::array<char, 16 * 1024> buffer_;
};

void accept(tcp::acceptor& acceptor) {
    acceptor.async_accept([&acceptor](std::error_code error, tcp::socket socket) {
        if (!error) {
            socket.set_option(tcp::no_delay(true));
            std::make_shared<Client>(std::move(socket))->read();
        }
        accept(acceptor);
    });
}

}  // namespace

int main() {
    asio::io_context context(1);  // one thread: Asio locks less then
    tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
    std::printf("listening on 127.0.0.1:%d\n", acceptor.local_endpoint().port());
    std::fflush(stdout);
    accept(acceptor);
    context.run();
}
#endif
