// Exercise 06.4: an answer that is cut off, and errors that go to the wrong
// place.
#pragma once

#include <span>

#include "chapters/06-promises/io.hpp"
#include "chapters/06-promises/promise.hpp"

namespace promises {

/// Sends `head`, then `body`, and closes `socket`, also where sending has
/// failed. All three have to stay until then.
///
/// Fulfilled when the kernel has taken every byte; rejected when the connection
/// is broken. In either case the socket is closed by then, and nobody but the
/// caller has to handle the error.
inline Promise<void> answer(Socket& socket, std::span<const char> head,
                            std::span<const char> body) {
    return socket.write_all(head)
        .then([&socket, body] { return socket.write_all(body); })
        .finally([&socket] { socket.close(); });
}

}  // namespace promises
