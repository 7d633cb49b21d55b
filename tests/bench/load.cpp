// Load for an echo server: clients that send lines and check every byte that comes back. Asks the
// operating system what that cost the server.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/command_line.hpp"
#include "common/descriptor.hpp"
#include "common/error.hpp"

namespace {

using common::Descriptor;
using Clock = std::chrono::steady_clock;

struct Plan {
    std::size_t port = 7000;
    std::size_t server = 0;      // its process id; 0: unknown
    std::size_t clients = 50;    // connected
    std::size_t busy = 0;        // how many of them send lines; 0: all
    std::size_t lines = 1;       // in one message, before the client waits for the reply
    std::size_t size = 64;       // bytes of a line
    std::size_t requests = 0;    // measured lines; 0: none
    std::size_t warm_up = 0;     // lines sent before those
    std::size_t at_most = 1000;  // milliseconds; no new requests after that
    bool hold = false;           // stay connected until stdin ends
};

constexpr int patience = 20;  // seconds without a reply

/// The lines that all clients send: random letters, so that a byte in the wrong place is detected.
class Script {
public:
    explicit Script(const Plan& plan) : message_(plan.lines * plan.size) {
        std::mt19937 random(1);
        for (std::size_t i = 0; i < messages * message_; ++i) {
            const bool last = i % plan.size == plan.size - 1;
            text_ += last ? '\n' : static_cast<char>('a' + random() % 26);
        }
    }

    /// Returns the client's next message; `number` counts its messages.
    [[nodiscard]] std::string_view message(std::size_t number) const {
        return std::string_view(text_).substr(number % messages * message_, message_);
    }

private:
    static constexpr std::size_t messages = 61;
    std::size_t message_;
    std::string text_;
};

/// One connection. Its first message differs from that of the connection before it.
class Client {
public:
    Client(const Plan& plan, const Script& script, std::size_t number)
        : script_(&script), number_(number) {
        socket_ = Descriptor(common::check(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                                           "cannot create a socket"));
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<std::uint16_t>(plan.port));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        common::check(
            ::connect(socket_.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address),
            "cannot connect");
        const int on = 1;
        ::setsockopt(socket_.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        const timeval limit{patience, 0};
        ::setsockopt(socket_.fd(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        const linger reset{1, 0};  // no TIME_WAIT: thousands come and go
        ::setsockopt(socket_.fd(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }

    [[nodiscard]] int fd() const { return socket_.fd(); }

    /// Sends the next message, which fits into the socket's buffer, so this does not block.
    void send() {
        rest_ = script_->message(++number_);
        sent_at_ = Clock::now();
        if (::write(fd(), rest_.data(), rest_.size()) != static_cast<ssize_t>(rest_.size())) {
            common::throw_errno("cannot send");
        }
    }

    /// Reads what is there and compares it. Returns true if the reply is complete.
    bool receive() {
        static std::array<char, 64 * 1024> buffer;
        const ssize_t count = ::read(fd(), buffer.data(), buffer.size());
        common::check(static_cast<int>(count), "cannot receive");
        if (count == 0) throw std::runtime_error("the server closed the connection");
        const std::string_view got(buffer.data(), static_cast<std::size_t>(count));
        if (!rest_.starts_with(got)) throw std::runtime_error("the reply is not an echo");
        rest_.remove_prefix(got.size());
        return rest_.empty();
    }

    [[nodiscard]] Clock::time_point sent_at() const { return sent_at_; }

private:
    Descriptor socket_;
    const Script* script_;
    std::size_t number_;
    std::string_view rest_;  // of the reply
    Clock::time_point sent_at_;
};

/// Returns the nanoseconds of CPU time, user and system, of all threads that `clock` counts.
std::int64_t cpu_of(clockid_t clock) {
    timespec time{};
    common::check(::clock_gettime(clock, &time), "cannot read a CPU clock");
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

/// Returns the same for a process and its children.
std::int64_t cpu_of_family(pid_t pid) {
    clockid_t clock{};
    if (::clock_getcpuclockid(pid, &clock) != 0) throw std::runtime_error("no such server");
    std::int64_t sum = cpu_of(clock);
    const std::string id = std::to_string(pid);
    std::ifstream children("/proc/" + id + "/task/" + id + "/children");
    for (pid_t child = 0; children >> child;) sum += cpu_of_family(child);
    return sum;
}

/// All the clients, and which of them are busy.
class Load {
public:
    explicit Load(const Plan& plan)
        : plan_(plan),
          script_(plan),
          epoll_(common::check(::epoll_create1(EPOLL_CLOEXEC), "cannot create an epoll instance")) {
        clients_.reserve(plan.clients);
        connect_all();
        const std::size_t busy = plan.busy == 0 ? plan.clients : plan.busy;
        for (std::size_t i = 0; i < busy; ++i) {
            busy_.push_back(&clients_.at(i * plan.clients / busy));
            epoll_event event{EPOLLIN, {busy_.back()}};
            common::check(::epoll_ctl(epoll_.fd(), EPOLL_CTL_ADD, busy_.back()->fd(), &event),
                          "cannot watch a client");
        }
    }

    /// Lets the busy clients send, each waiting for its reply before it sends again, until
    /// `requests` lines have come back (or fewer, if the time is over). Returns how many.
    std::size_t talk(std::size_t requests) {
        delays_.clear();
        const auto end = Clock::now() + std::chrono::milliseconds(plan_.at_most);
        std::size_t sent = 0;
        std::size_t waiting = 0;
        for (Client* client : busy_) {
            if (sent >= requests) break;
            client->send();
            sent += plan_.lines;
            ++waiting;
        }
        while (waiting > 0) {
            std::array<epoll_event, 256> events;
            const int count =
                ::epoll_wait(epoll_.fd(), events.data(), events.size(), patience * 1000);
            common::check(count, "cannot wait");
            if (count == 0) throw std::runtime_error("no reply for 20 seconds");
            for (int i = 0; i < count; ++i) {
                auto& client = *static_cast<Client*>(events[static_cast<std::size_t>(i)].data.ptr);
                if (!client.receive()) continue;
                const auto now = Clock::now();
                delays_.push_back(now - client.sent_at());
                if (sent < requests && now < end) {
                    client.send();
                    sent += plan_.lines;
                } else {
                    --waiting;
                }
            }
        }
        return sent;
    }

    /// Returns the delay in microseconds that so many of a thousand replies of the last talk()
    /// stayed below.
    double delay(std::size_t permille) {
        const std::size_t place = (delays_.size() - 1) * permille / 1000;
        const auto nth = delays_.begin() + static_cast<std::ptrdiff_t>(place);
        std::nth_element(delays_.begin(), nth, delays_.end());
        return std::chrono::duration<double, std::micro>(*nth).count();
    }

private:
    /// Connects the clients in groups, so that the server's queue of connections does not overflow.
    /// Each sends a line and waits for the reply, which shows that it has been accepted.
    void connect_all() {
        while (clients_.size() < plan_.clients) {
            const std::size_t first = clients_.size();
            const std::size_t end = std::min(first + 100, plan_.clients);
            for (std::size_t i = first; i < end; ++i) {
                clients_.emplace_back(plan_, script_, i).send();
            }
            for (std::size_t i = first; i < end; ++i) {
                while (!clients_[i].receive()) {
                }
            }
        }
    }

    Plan plan_;
    Script script_;
    Descriptor epoll_;
    std::vector<Client> clients_;
    std::vector<Client*> busy_;
    std::vector<Clock::duration> delays_;
};

int run(const Plan& plan) {
    common::raise_descriptor_limit();
    const auto server = static_cast<pid_t>(plan.server);
    Load load(plan);
    if (plan.hold) {
        std::puts("connected");
        std::fflush(stdout);
        while (std::getchar() != EOF) {
        }
    }
    if (plan.requests == 0) return 0;
    load.talk(plan.warm_up);

    const std::int64_t server_before = server != 0 ? cpu_of_family(server) : 0;
    const std::int64_t own_before = cpu_of(CLOCK_PROCESS_CPUTIME_ID);
    const auto start = Clock::now();
    const std::size_t requests = load.talk(plan.requests);
    const std::chrono::duration<double> time = Clock::now() - start;
    const std::int64_t own = cpu_of(CLOCK_PROCESS_CPUTIME_ID) - own_before;
    const std::int64_t servers = server != 0 ? cpu_of_family(server) - server_before : 0;

    const auto each = [&](std::int64_t sum) {
        return static_cast<double>(sum) / static_cast<double>(requests);
    };
    std::printf(
        "{\"requests\": %zu, \"seconds\": %.6f, \"server_ns\": %.1f, \"own_ns\": %.1f, "
        "\"p50_us\": %.1f, \"p99_us\": %.1f}\n",
        requests, time.count(), each(servers), each(own), load.delay(500), load.delay(990));
    return 0;
}

common::Option number(const char* name, const char* help, std::size_t& value) {
    return {name, "N", help, [&value, name](std::string_view text) {
                const char* end = text.data() + text.size();
                const auto [stop, error] = std::from_chars(text.data(), end, value);
                if (error != std::errc() || stop != end) {
                    throw common::UsageError(std::string(name) + " needs a number");
                }
            }};
}

}  // namespace

int main(int argc, char** argv) {
    Plan plan;
    return common::run_program(
        argc, argv, "load", "Sends lines to an echo server; prints what a request cost, as JSON.",
        {number("--port", "the server's", plan.port),
         number("--server", "its process id", plan.server),
         number("--clients", "how many connect", plan.clients),
         number("--busy", "how many of them send lines (0: all)", plan.busy),
         number("--lines", "in one message", plan.lines),
         number("--size", "of a line", plan.size),
         number("--requests", "measured lines", plan.requests),
         number("--warm-up", "lines sent before those", plan.warm_up),
         number("--at-most", "milliseconds", plan.at_most),
         {"--hold", "", "stay connected until stdin ends",
          [&plan](std::string_view) { plan.hold = true; }}},
        [&] { return run(plan); });
}
