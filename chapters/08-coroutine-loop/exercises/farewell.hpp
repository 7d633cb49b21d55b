// Exercise 08.4: a few last words to a client, some time later.
#pragma once

#include <sys/socket.h>

#include <string>
#include <utility>

#include "chapters/08-coroutine-loop/event_loop.hpp"
#include "common/descriptor.hpp"

namespace coroutines {

/// After `delay`, sends `words` to `client` and closes the connection. Returns
/// at once: a task of the loop waits meanwhile. The task owns `client` and a
/// copy of `words`, and both are destroyed when it ends or is cancelled.
///
/// It tries to send once: if the client's buffer is full, the words are lost.
inline TaskHandle farewell(EventLoop& loop, common::Descriptor client,
                           const std::string& words, Duration delay) {
    const auto say_it = [](EventLoop& the_loop, common::Descriptor to,
                           std::string text, Duration wait) -> Task<> {
        co_await the_loop.async_sleep(wait);
        ::send(to.fd(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    };
    return loop.spawn("farewell",
                      say_it(loop, std::move(client), words, delay));
}

}  // namespace coroutines
