// Exercise 08.4: a few last words to a client, some time later.
#pragma once

#include <sys/socket.h>

#include <string>
#include <utility>

#include "chapters/08-coroutine-loop/event_loop.hpp"
#include "common/descriptor.hpp"

namespace coroutines {

/// After `delay` sends `words` to `client` and closes the connection. Returns at once: a task of
/// the loop waits meanwhile, and it has whatever it needs for itself. `client` and a copy of
/// `words` belong to it; both are gone when it ends, or is cancelled.
///
/// It tries once: a client that has left no room for the words does without.
inline EventLoop::Spawned farewell(EventLoop& loop, common::Descriptor client,
                                   const std::string& words, Duration delay) {
    // EXERCISE BEGIN 08.4 repair the farewell that comes too soon
    // HINT The connection is closed before the task has even begun. Whose member is it, and how
    // HINT+ long does that one live? (A lambda is an object; its captures are its members.)
    // HINT A frame holds the parameters and the variables of its coroutine. Of a lambda it holds
    // HINT+ only a pointer to the object. So: what must live as long as the task is a parameter.
    // HINT Empty brackets: [](EventLoop& the_loop, common::Descriptor to, std::string text, ...).
    // HINT+ By value, as a reference would be all that the frame holds. The loop lives longer.
    // BROKEN auto say_it = [&loop, client = std::move(client), words, delay]() -> Task<> {
    // BROKEN     co_await loop.sleep_for(delay);
    // BROKEN     ::send(client.fd(), words.data(), words.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    // BROKEN };
    // BROKEN return loop.spawn("farewell", say_it());
    const auto say_it = [](EventLoop& the_loop, common::Descriptor to, std::string text,
                           Duration wait) -> Task<> {
        co_await the_loop.sleep_for(wait);
        ::send(to.fd(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    };
    return loop.spawn("farewell", say_it(loop, std::move(client), words, delay));
    // EXERCISE END 08.4
}

}  // namespace coroutines
