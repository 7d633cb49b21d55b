// Exercise 08.5: the chat room, seen from outside. The test plays the members; the clock jumps.
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <exception>
#include <filesystem>
#include <iterator>
#include <list>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "chapters/05-callback-loop/clock.hpp"
#include "chapters/08-coroutine-loop/exercises/chat_room.hpp"
#include "common/descriptor.hpp"
#include "tests/05-callback-loop/pair.hpp"
#include "tests/08-coroutine-loop/world.hpp"
#include "tests/support/test.hpp"

namespace {

using common::Descriptor;
using coroutines::ChatRoom;
using coroutines::Deadlock;
using coroutines::EventLoop;
using coroutines::LineReader;
using coroutines::Socket;
using coroutines::Task;
using testing::Pair;
using namespace std::chrono_literals;
using Log = std::vector<std::string>;

/// What a test throws out of a loop in which a task is always ready.
struct Spinning {};

/// A clock that jumps when nothing happens. Counts the turns of the loop.
class CountingClock : public callbacks::SimulatedClock {
public:
    [[nodiscard]] std::chrono::milliseconds poll_timeout(callbacks::TimePoint next) const override {
        if (++turns > 100'000) throw Spinning();
        return SimulatedClock::poll_timeout(next);
    }
    mutable int turns = 0;
};

Log lines_of(const std::string& text) {
    Log lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
}

/// A line as it is shown in a message: with bytes that are not seen on a terminal as numbers.
std::string visible(const std::string& line) {
    std::string all;
    for (const char byte : line) {
        const auto code = static_cast<unsigned char>(byte);
        constexpr const char* digits = "0123456789abcdef";
        if (code >= 0x20 && code < 0x7f) {
            all += byte;
        } else {
            all += {'\\', 'x', digits[code / 16], digits[code % 16]};
        }
    }
    return all;
}

/// Text as it is shown in a message: each line on a line, and not too many of them.
std::string shown(const std::string& text) {
    const Log lines = lines_of(text);
    std::string all;
    for (std::size_t i = 0; i < lines.size(); ++i) {
        if (lines.size() > 10 && i == 4) {
            all += "\n    ... (" + std::to_string(lines.size() - 8) + " more lines)";
            i = lines.size() - 4;
        }
        all += "\n    " + visible(lines[i].size() < 60 ? lines[i] : lines[i].substr(0, 57) + "...");
    }
    return all.empty() ? "\n    (nothing)" : all;
}

/// A line for the room to hear, of 90 bytes.
std::string numbered(int i) {
    std::string line = std::to_string(i) + " ";
    line.resize(90, '.');
    return line;
}

/// A client with a name.
struct Guest {
    std::string name;
    std::optional<Socket> socket;  // the client's end
    std::string heard;             // since the test last looked
    std::string ended;             // how the connection ended; empty: it has not
};

/// A room, its guests, and a story of what they did.
class Evening {
public:
    /// A guest connects, and sends nothing yet. One that does not read has little room in the
    /// kernel, too.
    Guest& comes(const std::string& name, bool reads = true) {
        story_ << "\n  - " << name << " connects" << (reads ? "" : ", and does not read");
        Pair pair;
        const int small = 4096;
        if (!reads) ::setsockopt(pair.ours.fd(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        Guest& guest = guests_.emplace_back();
        guest.name = name;
        guest.socket.emplace(*loop, std::move(pair.theirs));
        loop->spawn("member", room.attend(*loop, Socket(*loop, std::move(pair.ours))));
        if (reads) loop->spawn("guest", hear(guest));
        return guest;
    }

    /// The same, and the guest gives its name.
    Guest& joins(const std::string& name, bool reads = true) {
        Guest& guest = comes(name, reads);
        says(guest, name + "\n");
        settle();
        return guest;
    }

    void says(const Guest& guest, std::string_view text) {
        story_ << "\n  - " << guest.name << " sends " << support::quoted(text);
        testing::write_all(guest.socket->fd(), text);
    }

    void half_closes(const Guest& guest) {
        story_ << "\n  - " << guest.name << " ends its input (half-close)";
        ::shutdown(guest.socket->fd(), SHUT_WR);
    }

    /// If there are bytes that it has not read, that is a reset.
    void closes(Guest& guest) {
        char byte = 0;
        const bool unread = ::recv(guest.socket->fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
        story_ << "\n  - " << guest.name
               << (unread ? " breaks off (a reset)" : " closes the connection");
        guest.socket.reset();
    }

    void starts_reading(Guest& guest) {
        story_ << "\n  - " << guest.name << " reads now";
        loop->spawn("guest", hear(guest));
        settle();
    }

    /// Runs the loop until no task is ready any more and the clock jumps.
    void settle() {
        clock_.turns = 0;
        loop->spawn("test", stop_when_quiet(*loop));
        try {
            loop->run();
        } catch (const Spinning&) {
            FAIL("after 100,000 turns of the loop a task is still ready: does one poll again ",
                 "and again, instead of waiting until a line comes?");
        }
        const std::string error = errors_.empty() ? "" : errors_.front();
        REQUIRE_MESSAGE(error.empty(), "an exception has left attend(): ", error);
    }

    /// `count` numbered lines, as fast as the room takes them; all are said when this returns.
    void says_numbered(const Guest& guest, int count) {
        story_ << "\n  - " << guest.name << " says " << count << " lines of 90 bytes";
        for (int i = 0; i < count; ++i) {
            testing::write_all(guest.socket->fd(), numbered(i) + '\n');
            if (i % 50 == 49 || i + 1 == count) settle();
        }
    }

    /// What `guest` has heard since this was last asked must be `expected`.
    void expect(Guest& guest, const std::string& expected, const std::string& why = "") {
        settle();
        const std::string heard = std::exchange(guest.heard, "");
        const bool as_it_should = heard == expected;
        REQUIRE_MESSAGE(as_it_should, guest.name, " should have heard:", shown(expected),
                        "\nbut heard:", shown(heard), "\n", why, sleepers());
        story_ << "\n  - " << guest.name << " heard what it should";
    }

    /// Ignores what was heard so far.
    void forget() {
        settle();
        for (Guest& guest : guests_) guest.heard.clear();
    }

    /// While no member speaks, a task that sleeps can only be polling.
    [[nodiscard]] std::string sleepers() const {
        if (loop->sleeping() == 0) return "";
        return std::to_string(loop->sleeping()) +
               " tasks sleep now, and will poll later: "
               "a task that waits for a line should be woken by it";
    }

    [[nodiscard]] std::string story() const { return "what was done:" + story_.str(); }

    ChatRoom room;
    std::unique_ptr<EventLoop> loop = std::make_unique<EventLoop>(
        clock_, [this](const std::string& task, const std::exception_ptr& error) {
            errors_.push_back(task + ": " + testing::text(error));
        });

private:
    static Task<> stop_when_quiet(EventLoop& loop) {
        co_await loop.async_sleep(1ms);
        loop.stop();
    }

    static Task<> hear(Guest& guest) {
        std::string buffer(4096, '\0');
        try {
            while (const std::size_t count = co_await guest.socket->read(buffer)) {
                guest.heard.append(buffer, 0, count);
            }
            guest.ended = "the end";
        } catch (const std::system_error& error) {
            guest.ended = error.what();
        }
    }

    CountingClock clock_;
    Log errors_;
    std::ostringstream story_;
    std::list<Guest> guests_;
};

std::size_t open_descriptors() {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

/// The lines that LineReader returns for `pieces`, each sent when the last one has been read, and
/// then the end.
Log read_lines(std::vector<std::string> pieces) {
    testing::World world;
    Pair pair;
    Log lines;
    world.loop.spawn("sender", [](EventLoop& loop, Descriptor to, Log what) -> Task<> {
        for (const std::string& piece : what) {
            testing::write_all(to.fd(), piece);
            co_await loop.async_sleep(1ms);
        }
    }(world.loop, std::move(pair.theirs), std::move(pieces)));
    Socket socket(world.loop, std::move(pair.ours));
    testing::finish(world.loop, [](Socket& from, Log& into) -> Task<> {
        LineReader reader(from);
        while (std::optional<std::string> line = co_await reader.next()) {
            into.push_back(std::move(*line));
        }
    }(socket, lines));
    return lines;
}

void expect_lines(const Log& pieces, const Log& expected, const std::string& why) {
    const auto text = [](const Log& lines) {
        std::string all;
        for (const std::string& line : lines) all += "\n    " + support::quoted(line);
        return all.empty() ? "\n    (none)" : all;
    };
    const Log lines = read_lines(pieces);
    const bool as_it_should = lines == expected;
    REQUIRE_MESSAGE(as_it_should, why, ".\nThe lines should be:", text(expected),
                    "\nbut are:", text(lines));
}

}  // namespace

TEST_CASE("08.5 a line ends with LF, however the bytes arrive") {
    const Log expected{"hello", "", "how are", "you?", "", "?[2Jx?"};
    const std::string sent = "hello\n\nhow are\r\nyou?\n\r\n\x1b[2Jx\x7f\n";
    Log bytes;
    for (const char byte : sent) bytes.emplace_back(1, byte);
    INFO("lines by LF or CR LF, two of them empty, one with ESC and DEL, and then the end");
    expect_lines({sent}, expected, "all of it came in one read");
    expect_lines({"hel", "lo\n\nhow are\r", "\nyou?\n\r\n\x1b[2Jx\x7f\n"}, expected,
                 "it came in three reads. A read is not a line: it returns what has arrived");
    expect_lines(bytes, expected, "each byte came alone");
    expect_lines({"said\nnot sa", "id"}, {"said"},
                 "the end came in the middle of a line: that line was not said");
}

TEST_CASE("08.5 a line that is too long comes in pieces, before its end has come") {
    const std::string piece(LineReader::longest, 'x');
    INFO("the longest line has 512 bytes, without its LF");
    expect_lines({piece + "\n"}, {piece}, "512 bytes and LF are one line");
    expect_lines({piece, "\nz\n"}, {piece, "z"}, "512 bytes, and LF in the next read: one line");
    expect_lines(Log(3, piece + "x"), {piece, 'x' + piece.substr(1), 'x' + piece.substr(1)},
                 "three times 513 bytes came, no LF, then the end: three pieces. A reader that "
                 "waits for an LF that never comes keeps all that comes before it");
    expect_lines({piece + "y\n"}, {piece, "y"}, "513 bytes and LF are two lines");
    expect_lines({piece + "\r\nz\n"}, {piece, "z"},
                 "512 bytes and CR LF are one line: the two bytes of the end do not count");
    expect_lines({piece + "\r", "\nz\n"}, {piece, "z"}, "the same, and LF in the next read");
    expect_lines({piece + "y\r\n"}, {piece, "y"}, "513 bytes and CR LF are two lines");
    expect_lines({piece + "\rz\n"}, {piece, "?z"}, "512 bytes, and a CR that is no line's end");
}

TEST_CASE("08.5 every member hears every line, and each join and leave") {
    Evening evening;
    INFO(evening.story());
    Guest& ada = evening.comes("ada");
    evening.expect(ada, "* what is your name?\n");
    evening.says(ada, "ada\n");
    evening.expect(ada, "* ada has joined\n");
    Guest& bob = evening.comes("bob");
    evening.expect(ada, "", "a client without a name has not joined");
    evening.says(bob, "bob\n");
    evening.expect(bob, "* what is your name?\n* bob has joined\n",
                   "a new member hears what is said from then on, and nothing from before");
    evening.expect(ada, "* bob has joined\n");
    evening.says(bob, "good evening\n");
    evening.expect(ada, "bob: good evening\n");
    evening.expect(bob, "bob: good evening\n", "the speaker hears it too");
    evening.says(ada, "\nsit\r\n down\n");
    evening.expect(bob, "ada: sit\nada:  down\n", "an empty line is not said");
    CHECK(evening.room.members() == 2);
    evening.closes(bob);
    evening.expect(ada, "ada: sit\nada:  down\n* bob has left\n");
    CHECK(evening.room.members() == 1);
}

TEST_CASE("08.5 all members hear the same lines in the same order") {
    Evening evening;
    INFO(evening.story());
    Guest& ada = evening.joins("ada");
    Guest& bob = evening.joins("bob");
    Guest& eve = evening.joins("eve");
    evening.forget();
    for (const Guest* guest : {&eve, &ada, &bob}) evening.says(*guest, "1\n2\n3\n");
    evening.settle();
    CHECK_MESSAGE(lines_of(ada.heard).size() == 9,
                  "ada should have heard 9 lines, and heard:", shown(ada.heard));
    const bool bob_too = bob.heard == ada.heard;
    const bool eve_too = eve.heard == ada.heard;
    CHECK_MESSAGE(bob_too, "ada heard:", shown(ada.heard), "\nbut bob:", shown(bob.heard));
    CHECK_MESSAGE(eve_too, "ada heard:", shown(ada.heard), "\nbut eve:", shown(eve.heard));
}

TEST_CASE("08.5 a name must be valid and not in use") {
    Evening evening;
    INFO(evening.story());
    const std::string question = "* what is your name?\n";
    const std::string refusal = "* a name is 1 to 16 letters and digits\n" + question;
    Guest& ada = evening.joins("ada");
    Guest& bob = evening.comes("bob");
    evening.says(bob, "\n");
    evening.expect(bob, question + refusal);
    evening.says(bob, "bob the builder\n");
    evening.expect(bob, refusal);
    evening.says(bob, "12345678901234567\n");
    evening.expect(bob, refusal, "that name had 17 characters");
    evening.says(bob, "ada\n");
    evening.expect(bob, "* ada is taken\n" + question);
    evening.says(bob, "Ada\n");
    evening.expect(bob, "* Ada has joined\n");
    evening.forget();
    evening.closes(ada);
    evening.expect(bob, "* ada has left\n");
    Guest& other = evening.comes("another");
    evening.says(other, "ada\n");
    evening.expect(other, question + "* ada has joined\n", "the name is free again");
}

TEST_CASE("08.5 of two clients that give the same name in the same turn, one gets it") {
    Evening evening;
    INFO(evening.story());
    Guest& first = evening.comes("one");
    Guest& second = evening.comes("another");
    evening.forget();
    evening.says(first, "ada\n");
    evening.says(second, "ada\n");
    evening.settle();
    const std::string both = first.heard + second.heard;
    const bool refused = both.find("* ada is taken\n") != std::string::npos;
    CHECK_MESSAGE(refused, "two members are called ada. What was true before a co_await is only a ",
                  "memory after it (docs/08-lifetime.md, 6)");
    CHECK_MESSAGE(evening.room.members() == 1, "there should be 1 member; there are ",
                  evening.room.members());
}

TEST_CASE("08.5 a member that says much is heard, and others are heard in between") {
    Evening evening;
    INFO(evening.story());
    Guest& ada = evening.joins("ada");
    Guest& bob = evening.joins("bob");
    evening.forget();
    std::string much;
    for (int i = 0; i < 1000; ++i) much += std::to_string(i) + "\n";
    evening.says(ada, much);
    evening.says(bob, "may I?\n");
    evening.settle();
    Log lines = lines_of(bob.heard);
    const auto asked = std::ranges::find(lines, "bob: may I?") - lines.begin();
    CHECK_MESSAGE(asked < 100, "bob's line came after ", asked,
                  " others. After each line, let the "
                  "other members have their turn: async_sleep(0)");
    REQUIRE_MESSAGE(lines.size() == 1001,
                    "ada said 1000 lines and bob one. Bob reads all the time, "
                    "and should have heard 1001; he heard ",
                    lines.size(), ":", shown(bob.heard));
    std::erase(lines, "bob: may I?");
    for (std::size_t i = 0; i < lines.size(); ++i) {
        const bool in_order = lines[i] == "ada: " + std::to_string(i);
        REQUIRE_MESSAGE(in_order, "where line ", i, " should have been: ", lines[i]);
    }
}

TEST_CASE("08.5 a member that does not read delays no other member") {
    Evening evening;
    INFO(evening.story());
    evening.joins("slow", false);
    Guest& ada = evening.joins("ada");
    Guest& bob = evening.joins("bob");
    evening.forget();
    evening.says_numbered(ada, 2000);
    const Log lines = lines_of(bob.heard);
    CHECK_MESSAGE(lines.size() == 2000,
                  "bob reads all the time, and should have heard 2000 lines; ", "he heard ",
                  lines.size(), ", the last of them:", shown(lines.empty() ? "" : lines.back()),
                  "\nA speaker must not wait until another member has read");
    const bool the_same = ada.heard == bob.heard;
    CHECK_MESSAGE(the_same, "ada and bob should have heard the same");
}

TEST_CASE("08.5 what is kept for a slow reader is bounded, and it hears how much it missed") {
    Evening evening;
    INFO(evening.story());
    Guest& slow = evening.joins("slow", false);
    Guest& ada = evening.joins("ada");
    evening.says_numbered(ada, 5000);
    evening.starts_reading(slow);
    evening.says(ada, "still here?\n");
    evening.settle();
    std::size_t next = 0;
    std::size_t heard = 0;
    std::size_t notes = 0;
    // Since the last note
    std::size_t last_lines = 0;
    for (const std::string& line : lines_of(slow.heard)) {
        if (line.starts_with("* you missed ")) {
            next += std::stoul("0" + line.substr(13));
            ++notes;
            last_lines = 0;
        } else if (line.starts_with("ada: ") && next < 5000) {
            const bool is_next = line == "ada: " + numbered(static_cast<int>(next));
            REQUIRE_MESSAGE(is_next, "slow had heard or missed ", next,
                            " lines. The next one it heard was:", shown(line),
                            "\nLines that are dropped must be counted, and no others");
            ++next;
            ++heard;
            ++last_lines;
        }
    }
    // What is kept, as much again that may be on its way, and what the kernel holds.
    REQUIRE_MESSAGE(heard < 2 * ChatRoom::kept + 100, "for a member that did not read, ", heard,
                    " lines of ", "5000 were kept, ", heard * numbered(0).size(),
                    " bytes: there is no bound. Keep ", ChatRoom::kept,
                    " lines, and drop the oldest");
    CHECK_MESSAGE(notes > 0, "lines were dropped, and slow was not told: \"* you missed N lines\"");
    CHECK_MESSAGE(last_lines == ChatRoom::kept, "after the note that it missed some, slow heard ",
                  last_lines, " lines; the last ", ChatRoom::kept, " are kept");
    CHECK_MESSAGE(next == 5000, "slow heard or missed ", next,
                  " lines of 5000, in the end:", shown(slow.heard));
    CHECK_MESSAGE(slow.heard.ends_with("ada: still here?\n"),
                  "from then on it should hear everything, like any other member");
}

TEST_CASE("08.5 a member whose connection breaks has left, whatever it was doing") {
    Evening evening;
    INFO(evening.story());
    Guest& ada = evening.joins("ada");
    Guest& bob = evening.joins("bob", false);
    evening.forget();
    evening.closes(bob);
    evening.expect(ada, "* bob has left\n",
                   "a reset is an error of read or write, not the end of input");
    Guest& eve = evening.joins("eve", false);
    evening.says_numbered(ada, 500);
    evening.forget();
    evening.closes(eve);
    evening.expect(ada, "* eve has left\n", "eve was owed lines: a task was waiting to write them");
    CHECK(evening.room.members() == 1);
}

TEST_CASE("08.5 an unfinished line of a member that leaves was not said") {
    Evening evening;
    INFO(evening.story());
    Guest& ada = evening.joins("ada");
    Guest& bob = evening.joins("bob");
    Guest& nameless = evening.comes("nameless");
    evening.forget();
    evening.says(bob, "yes\nI agr");
    evening.closes(bob);
    evening.says(nameless, "nam");
    evening.closes(nameless);
    evening.expect(ada, "bob: yes\n* bob has left\n");
}

TEST_CASE("08.5 several members leave in the turn in which another speaks") {
    Evening evening;
    INFO(evening.story());
    Guest& ada = evening.joins("ada");
    std::vector<Guest*> others;
    for (const char* name : {"bob", "eve", "joe"}) others.push_back(&evening.joins(name, false));
    evening.forget();
    evening.closes(*others[0]);
    evening.says(ada, "hello\n");
    evening.closes(*others[2]);
    evening.closes(*others[1]);
    evening.settle();
    Log lines = lines_of(ada.heard);
    std::ranges::sort(lines);
    const Log expected{"* bob has left", "* eve has left", "* joe has left", "ada: hello"};
    CHECK_MESSAGE(lines == expected,
                  "ada should have heard her own line, and that the other three have left");
}

TEST_CASE("08.5 a member that has ended its input is still owed what was said until then") {
    Evening evening;
    INFO(evening.story());
    Guest& ada = evening.joins("ada");
    Guest& eve = evening.joins("eve", false);
    evening.forget();
    evening.says_numbered(ada, 100);
    evening.says(eve, "bye\n");
    evening.half_closes(eve);
    evening.settle();
    CHECK_MESSAGE(ada.heard.ends_with("eve: bye\n* eve has left\n"),
                  "at the end of its input a member has left. The last lines that Ada heard:",
                  shown(ada.heard));
    evening.says(ada, "and now without eve\n");
    evening.starts_reading(eve);
    const Log lines = lines_of(eve.heard);
    CHECK_MESSAGE(eve.ended == "the end", "then the connection should be closed; it is ",
                  eve.ended.empty() ? "open" : eve.ended);
    CHECK_MESSAGE(eve.heard.ends_with("eve: bye\n* eve has left\n"),
                  "eve should have heard everything until she left, and nothing else; she heard:",
                  shown(eve.heard));
    CHECK_MESSAGE(lines.size() == 104,
                  "a question, eve has joined, 100 lines of ada's, her own, and ",
                  "that she has left are 104; she heard ", lines.size());
}

TEST_CASE("08.5 a member that has left is not owed, and has not missed, what is said later") {
    Evening evening;
    INFO(evening.story());
    Guest& ada = evening.joins("ada");
    Guest& eve = evening.joins("eve", false);
    evening.says_numbered(ada, 100);
    evening.says(eve, "bye\n");
    evening.half_closes(eve);
    evening.settle();
    evening.says_numbered(ada, 600);
    evening.starts_reading(eve);
    std::size_t lines = 0;
    for (const std::string& line : lines_of(eve.heard)) {
        const bool note = line.starts_with("* you missed ");
        lines += note ? std::stoul("0" + line.substr(13)) : 1;
    }
    CHECK_MESSAGE(lines == 104,
                  "a question, eve has joined, 100 lines of ada's, her own, and that she has left "
                  "are 104; the lines that eve heard, and those that she was told she missed, are ",
                  lines);
    CHECK_MESSAGE(eve.ended == "the end", "then the connection should be closed");
}

TEST_CASE("08.5 while no member speaks, no task wakes up") {
    Evening evening;
    INFO(evening.story());
    evening.joins("ada");
    evening.joins("bob");
    evening.comes("nameless");
    evening.settle();
    CHECK_MESSAGE(evening.loop->sleeping() == 0, evening.sleepers());
}

TEST_CASE("08.5 when all members have left, no task and no descriptor is left") {
    Evening evening;
    const std::size_t empty = open_descriptors();
    INFO(evening.story());
    std::vector<Guest*> all;
    for (const char* name : {"ada", "bob"}) all.push_back(&evening.joins(name));
    all.push_back(&evening.joins("slow", false));
    all.push_back(&evening.comes("nameless"));
    evening.says_numbered(*all[0], 400);
    evening.half_closes(*all[1]);
    evening.settle();
    for (Guest* guest : all) evening.closes(*guest);
    try {
        evening.loop->run();  // to the end of all tasks
    } catch (const Deadlock& error) {
        FAIL_CHECK("all members have left, but a task still waits for a line that will never be ",
                   "said (", error.what(), ")");
    }
    CHECK_MESSAGE(evening.room.members() == 0, evening.room.members(),
                  " members are still counted");
    const std::size_t left = open_descriptors() - empty;
    CHECK_MESSAGE(left == 0, left, " descriptors are still open");
    CHECK(evening.loop->waiting() == 0);
    Guest& late = evening.joins("ada");
    evening.expect(late, "* what is your name?\n* ada has joined\n",
                   "and the room can still be used");
}

TEST_CASE("08.5 destroying the loop destroys all members") {
    Evening evening;
    INFO(evening.story(), "\n  - the loop is destroyed");
    const std::vector<Guest*> all{&evening.joins("ada"), &evening.joins("bob"),
                                  &evening.comes("nameless"), &evening.joins("slow", false)};
    evening.says_numbered(*all[0], 400);
    evening.says(*all[1], "not heard any more\n");
    // The guests' sockets have to go before their loop does; duplicates keep the connections open.
    std::vector<common::Descriptor> ends;
    for (Guest* guest : all) {
        ends.emplace_back(::dup(guest->socket->fd()));
        guest->socket.reset();
    }
    evening.loop.reset();
    CHECK_MESSAGE(evening.room.members() == 0, evening.room.members(),
                  " members are still counted");
    for (std::size_t i = 0; i < all.size(); ++i) {
        testing::read_all(ends[i].fd());
        CHECK_MESSAGE(testing::at_end(ends[i].fd()), "the connection of ", all[i]->name,
                      " should be closed: destroying a task destroys its variables");
    }
}
