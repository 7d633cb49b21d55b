// Exercise 06.4: an answer that is cut off, and an error that is reported
// although it was handled.
#pragma once

#include <span>

#include "chapters/06-promises/io.hpp"
#include "chapters/06-promises/promise.hpp"

namespace promises {

/// Sends `head`, then `body`, and closes `socket`, even if sending fails. All
/// three must stay valid until then.
///
/// Returns a promise that is fulfilled when the kernel has taken every byte,
/// and rejected if the connection breaks. In either case the socket is closed
/// by then. A caller that handles this promise's error has handled every error.
inline Promise<void> answer(Socket& socket, std::span<const char> head,
                            std::span<const char> body) {
    return socket.write_all(head)
        .then([&socket, body] { return socket.write_all(body); })
        .finally([&socket] { socket.close(); });
}

}  // namespace promises
