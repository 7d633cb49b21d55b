// Exercise 08.5, the capstone: a chat room. Each line is stored once, and each
// member hears it as soon as it can.
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

/// Splits what comes from a socket into lines. One read returns what has
/// arrived: half a line, or ten.
class LineReader {
public:
    /// In bytes, without the line's end. A longer line is cut into pieces of
    /// this size, each a line of its own, as soon as the bytes behind a piece
    /// show that they are not the end. So the memory used is bounded.
    static constexpr std::size_t longest = 512;

    /// `socket` is not owned, and must outlive it.
    explicit LineReader(Socket& socket) : socket_(socket) {}

    /// Returns the next line, without its end (LF, or CR LF), and with '?' for
    /// each control character, which a terminal would obey. Returns nothing at
    /// the end of input: an unfinished line was not said. Throws as
    /// Socket::read() does.
    Task<std::optional<std::string>> next() {
        while (true) {
            const std::size_t end = kept_.find('\n');
            // Two bytes behind the longest line may be its end, CR LF.
            if (end != std::string::npos || kept_.size() >= longest + 2) {
                std::string line = kept_.substr(0, end);
                if (end != std::string::npos && line.ends_with('\r'))
                    line.pop_back();
                const bool whole = line.size() <= longest;
                if (!whole) line.resize(longest);
                kept_.erase(0, whole ? end + 1 : longest);
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
    // What was read and not yet returned as a line
    std::string kept_;
};

/// A room in which every member hears every line. All that the room says is a
/// line that ends with LF:
///
///     * what is your name?      at first, and again after each of these two:
///     * a name is 1 to 16 letters and digits
///     * NAME is taken
///     * NAME has joined         the first line that NAME itself hears
///     NAME: TEXT                for each line that is not empty; NAME hears it
///                               too
///     * NAME has left           the last line that NAME itself hears
///     * you missed N lines      instead of the oldest lines, if a member was
///                               too slow and is owed more than `kept`
///
/// All members hear the same lines in the same order. No member waits for one
/// that does not read, and the memory kept for that one does not grow. A member
/// that says much says at most one line in a turn of the loop.
///
/// A room is created before its loop, since the loop destroys the members that
/// are left.
class ChatRoom {
public:
    static constexpr std::size_t longest_name = 16;

    /// The number of lines that are kept for slow members
    static constexpr std::size_t kept = 256;

    /// Lets `client` take part, from the question for its name until it leaves:
    /// by the end of its input (what it is still owed is sent before the
    /// connection closes), by an error of the connection, or because this task
    /// is destroyed. However it leaves, that is announced, once.
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
            // ECONNRESET, EPIPE...: the client is gone, and ~Presence has
            // announced it.
            co_return;
        }
    }

    /// Returns how many members have joined and not left.
    [[nodiscard]] std::size_t members() const { return names_.size(); }

    static bool is_name(std::string_view text) {
        return !text.empty() && text.size() <= longest_name &&
               std::ranges::all_of(
                   text, [](unsigned char c) { return std::isalnum(c) != 0; });
    }

private:
    // EXERCISE 08.5
    // The number of a line, counted from 0
    using Number = std::uint64_t;

    /// `co_await News(loop, room)` resumes when the next line has been said: a
    /// chapter 07 Event that occurs again and again.
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

    /// Publishes a line: stores it once, however many members listen, and
    /// schedules the waiting ones. It neither waits nor resumes a coroutine.
    void say(std::string line) noexcept {
        log_[said_++ % kept] = std::move(line);
        while (!waiting_.empty()) {
            auto& news = static_cast<News&>(waiting_.pop_front());
            news.loop.schedule(news);
        }
    }

    /// The presence of a name in the room, from "has joined" to "has left". It
    /// is a local variable, so however its task ends, the member leaves. `end`
    /// becomes the number after the last line that the member hears.
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
        // Built in advance, because a destructor must not fail
        std::string farewell_;
    };

    /// Asks until the answer is a name that is not in use, and returns it, or
    /// nothing if the client has left.
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

    /// Passes what the member says to the room.
    Task<> speak(EventLoop& loop, LineReader& lines, std::string name,
                 Number& end) {
        const Presence presence(*this, name, end);
        while (const std::optional<std::string> line = co_await lines.next()) {
            if (line->empty()) continue;
            say(name + ": " + *line + '\n');
            // Let the other members hear and speak.
            co_await loop.async_sleep(Duration::zero());
        }
    }

    /// Sends the room's lines to the member, from number `next` up to but not
    /// including `end`.
    Task<> hear(EventLoop& loop, Socket& client, Number next,
                const Number& end) {
        // Bytes in one write
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

    // Line n is log_[n % kept] while it is kept.
    std::array<std::string, kept> log_;
    // How many lines were said so far, and so the number of the next one
    Number said_ = 0;
    // The members that have heard every line so far
    WaitList waiting_;
    // END 08.5
    // The members' names
    std::set<std::string, std::less<>> names_;
};

}  // namespace coroutines
