// One client's conversation: chapter 01's loop, with co_await in front of the
// calls that wait.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <system_error>
#include <utility>

#include "chapters/08-coroutine-loop/combine.hpp"
#include "chapters/08-coroutine-loop/event_loop.hpp"
#include "chapters/08-coroutine-loop/socket.hpp"
#include "common/service_options.hpp"

namespace coroutines {

using common::ServiceOptions;

/// The conversation with one client, for as long as it is connected.
class Conversation {
public:
    /// `loop` and `options` are not owned, and must outlive it.
    Conversation(EventLoop& loop, const ServiceOptions& options, Socket client)
        : loop_(loop), options_(options), client_(std::move(client)) {}

    /// Sends back every byte until the end of the client's input.
    Task<> echo() {
        std::array<char, 16 * 1024> buffer;
        while (true) {
            const std::size_t count = co_await client_.read(buffer);
            if (count == 0) co_return;
            if (options_.reply_delay.count() > 0) {
                reply_due_ = loop_.now() + options_.reply_delay;
                co_await loop_.async_sleep(options_.reply_delay);
            }
            co_await client_.write_all(std::string_view(buffer.data(), count));
        }
    }

    /// Ends when the client has been idle for too long. The time of a delayed
    /// reply does not count as idle.
    Task<> silence() {
        while (true) {
            const TimePoint last =
                std::max(client_.last_activity(), reply_due_);
            const Duration rest = last + options_.idle_timeout - loop_.now();
            if (rest.count() <= 0) co_return;
            co_await loop_.async_sleep(rest);
        }
    }

private:
    EventLoop& loop_;
    const ServiceOptions& options_;
    Socket client_;
    // When the last delayed reply is due
    TimePoint reply_due_;
};

/// Serves one client, and closes the connection at the end.
inline Task<> converse(EventLoop& loop, const ServiceOptions& options,
                       Socket client) try {
    Conversation conversation(loop, options, std::move(client));
    if (options.idle_timeout.count() > 0) {
        // when_any() destroys the loser.
        co_await when_any(conversation.echo(), conversation.silence());
    } else {
        co_await conversation.echo();
    }
} catch (const std::system_error&) {
    // ECONNRESET, EPIPE...: the client is gone. No other client is affected.
    co_return;
}

}  // namespace coroutines
