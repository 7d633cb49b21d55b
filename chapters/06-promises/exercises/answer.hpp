// Exercise 06.4: an answer that is cut off, and errors that go to the wrong place.
#pragma once

#include <span>

#include "chapters/06-promises/io.hpp"
#include "chapters/06-promises/promise.hpp"

namespace promises {

/// Sends `head`, then `body`, and closes `socket`, also where sending has failed. All three have to
/// stay until then.
///
/// Fulfilled when the kernel has taken every byte; rejected when the connection is broken. In
/// either case the socket is closed by then, and nobody but the caller has to handle the error.
inline Promise<void> answer(Socket& socket, std::span<const char> head,
                            std::span<const char> body) {
    // EXERCISE BEGIN 06.4 repair the answer that is cut off
    // HINT Small answers arrive whole: write_all() gives them to the kernel at once. What if it has
    // HINT+ to wait for room? Ask of each promise here: who waits for it?
    // HINT Two of them are dropped. The handler that starts to write the body returns nothing, so
    // HINT+ the chain goes on at once. And finally() returns a promise, too, with the same error.
    // HINT return socket.write_all(head).then(...).finally(...); where the handler of then() says
    // HINT+ return.
    // BROKEN const Promise<void> sent = socket.write_all(head).then([&socket, body] {
    // BROKEN     socket.write_all(body);
    // BROKEN });
    // BROKEN sent.finally([&socket] { socket.close(); });
    // BROKEN return sent;
    return socket.write_all(head)
        .then([&socket, body] { return socket.write_all(body); })
        .finally([&socket] { socket.close(); });
    // EXERCISE END 06.4
}

}  // namespace promises
