// Exercise 08.5, the capstone: a chat room. What is said is said once;
// everybody hears it when they can.
#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "chapters/08-coroutine-loop/combine.hpp"
#include "chapters/08-coroutine-loop/event_loop.hpp"
#include "chapters/08-coroutine-loop/socket.hpp"

namespace coroutines {

/// The lines that come from a socket. A read gives what has arrived: half a
/// line, or ten.
class LineReader {
public:
    /// In bytes. A line that is longer is cut into pieces of this size, each a
    /// line of its own, as soon as they have come: what it keeps is bounded.
    static constexpr std::size_t longest = 512;

    /// `socket` is not owned, and must outlive it.
    explicit LineReader(Socket& socket) : socket_(socket) {}

    /// The next line, without its end (LF, or CR LF), and with '?' for each
    /// control character: a terminal would obey them. Nothing at the end of
    /// input: what does not end with LF was not said. Throws as Socket::read()
    /// does.
    Task<std::optional<std::string>> next() {
        while (true) {
            const std::size_t length = std::min(kept_.find('\n'), longest);
            if (length < kept_.size()) {
                // Otherwise a piece of a longer one
                const bool whole = kept_[length] == '\n';
                std::string line = kept_.substr(0, length);
                kept_.erase(0, length + (whole ? 1 : 0));
                if (whole && line.ends_with('\r')) line.pop_back();
                std::ranges::replace_if(line, is_control, '?');
                co_return line;
            }
            std::array<char, longest> buffer;
            const std::size_t count = co_await socket_.read(buffer);
            if (count == 0) co_return std::nullopt;
            kept_.append(buffer.data(), count);
        }
    }

private:
    static bool is_control(char byte) {
        return std::iscntrl(static_cast<unsigned char>(byte)) != 0;
    }

    Socket& socket_;
    // What was read, and was not yet given as a line
    std::string kept_;
};

/// Where everybody hears everybody. All that the room says is a line that ends
/// with LF:
///
///     * what is your name?                      at first, and again after each
///     of these two:
///     * a name is 1 to 16 letters and digits
///     * NAME is taken
///     * NAME has joined                         the first line that NAME
///     itself hears NAME: TEXT                                for a line that
///     is not empty; NAME hears it too
///     * NAME has left                           the last line that NAME itself
///     hears
///     * you missed N lines                      in the place of lines that
///     somebody was too slow
///                                               to take: the oldest of more
///                                               than `kept`
///
/// All hear the same lines in the same order. Nobody waits for a member that
/// does not read; what is kept in memory for one does not grow. Whoever says
/// much says at most one line a turn of the loop.
///
/// A room is created before its loop, since the loop destroys the members that
/// are left.
class ChatRoom {
public:
    static constexpr std::size_t longest_name = 16;

    /// So many lines are kept for those who are slow.
    static constexpr std::size_t kept = 256;

    /// Lets `client` take part, from the question for its name until it leaves:
    /// by the end of its input (what it is still to hear is sent before the
    /// connection is closed), by an error of the connection, or because this
    /// task is destroyed. However it leaves, it is announced, once.
    Task<> attend(EventLoop& loop, Socket client) {
        try {
            LineReader lines(client);
            const std::optional<std::string> name =
                co_await ask_name(client, lines);
            if (!name) co_return;
            Number end = std::numeric_limits<Number>::max();
            co_await when_all(hear(loop, client, said_, end),
                              speak(loop, lines, *name, end));
        } catch (const std::system_error&) {
            // ECONNRESET, EPIPE...: it is gone, and has left on the way here
            co_return;
        }
    }

    /// How many have joined, and have not left.
    [[nodiscard]] std::size_t members() const { return names_.size(); }

    static bool is_name(std::string_view text) {
        return !text.empty() && text.size() <= longest_name &&
               std::ranges::all_of(
                   text, [](unsigned char c) { return std::isalnum(c) != 0; });
    }

private:
    // EXERCISE 08.5
    // Of a line; the first one that the room has heard is 0
    using Number = std::uint64_t;

    /// `co_await News(loop, room)`: until the next line is said. Chapter 07's
    /// Event, which happens again and again.
    struct News : Waiter {
        News(EventLoop& its_loop, ChatRoom& its_room)
            : loop(its_loop), room(its_room) {}
        [[nodiscard]] bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> hearing) noexcept {
            coroutine = hearing;
            room.waiting_.push_back(*this);
        }
        void await_resume() const noexcept {}

        EventLoop& loop;
        ChatRoom& room;
    };

    /// Publishes: one line in one place, however many listen. Waits for nobody,
    /// and runs nobody.
    void say(std::string line) noexcept {
        log_[said_++ % kept] = std::move(line);
        while (!waiting_.empty()) {
            auto& news = static_cast<News&>(waiting_.pop_front());
            news.loop.schedule(news);
        }
    }

    /// A name's time in the room, from "has joined" to "has left". A variable:
    /// however the task ends that has it, the member has left. `end` becomes
    /// the number behind its last line.
    class Presence {
    public:
        Presence(ChatRoom& room, std::string name, Number& end)
            : room_(room),
              end_(end),
              name_(std::move(name)),
              farewell_("* " + name_ + " has left\n") {
            std::string welcome = "* " + name_ + " has joined\n";
            room_.names_.insert(name_);
            room_.say(std::move(welcome));
        }
        Presence(const Presence&) = delete;
        Presence& operator=(const Presence&) = delete;
        ~Presence() {
            room_.names_.erase(name_);
            room_.say(std::move(farewell_));
            end_ = room_.said_;
        }

    private:
        ChatRoom& room_;
        Number& end_;
        std::string name_;
        // Made beforehand: a destructor must not fail
        std::string farewell_;
    };

    /// Asks until the answer is a name that nobody has. Nothing: the client
    /// left instead.
    Task<std::optional<std::string>> ask_name(Socket& client,
                                              LineReader& lines) {
        std::string trouble;
        while (true) {
            const std::string question = trouble + "* what is your name?\n";
            co_await client.write_all(question);
            std::optional<std::string> name = co_await lines.next();
            if (name && !is_name(*name)) {
                trouble = "* a name is 1 to 16 letters and digits\n";
            } else if (name && names_.contains(*name)) {
                trouble = "* " + *name + " is taken\n";
            } else {
                co_return name;
            }
        }
    }

    /// What the member says goes to the room.
    Task<> speak(EventLoop& loop, LineReader& lines, std::string name,
                 Number& end) {
        const Presence presence(*this, name, end);
        while (const std::optional<std::string> line = co_await lines.next()) {
            if (line->empty()) continue;
            say(name + ": " + *line + '\n');
            // Now the others: who hears, who speaks too
            co_await loop.async_sleep(Duration::zero());
        }
    }

    /// What the room says goes to the member: the lines from number `next` to
    /// before `end`.
    Task<> hear(EventLoop& loop, Socket& client, Number next,
                const Number& end) {
        // Bytes to be sent at once
        constexpr std::size_t enough = 4096;
        while (next < end) {
            while (next == said_) co_await News(loop, *this);
            std::string text;
            const Number oldest = said_ > kept ? said_ - kept : 0;
            if (next < oldest) {
                const Number missed = std::min(oldest, end) - next;
                text = "* you missed " + std::to_string(missed) + " lines\n";
                next = oldest;
            }
            while (next < std::min(said_, end) && text.size() < enough) {
                text += log_[next++ % kept];
            }
            co_await client.write_all(text);
        }
    }

    // Line n is log_[n % kept], as long as it is kept
    std::array<std::string, kept> log_;
    // How many lines were said so far: the next one's number
    Number said_ = 0;
    // Those who have heard all of them
    WaitList waiting_;
    // END 08.5
    // Of the members
    std::set<std::string, std::less<>> names_;
};

}  // namespace coroutines
