// Loaded into a server with LD_PRELOAD: counts its system calls and makes chosen ones fail.
//
//   FAULT_COUNTERS=FILE   a file with room for support::Counters; it is mapped and holds the counts
//   FAULTS=RULE,RULE...   where a RULE is one of
//       read:EINTR/3          every third read fails with EINTR
//       write:ENOBUFS@5       only the fifth write fails
//       accept4:ENFILE@1-2    the first two fail
//       epoll_ctl:ENOSPC@4    the fourth attempt to add a descriptor fails
//       write:short/1         every write takes only one byte (read, recv and send too)
//
// A read or an accept counts for a rule only if there is a byte to read or a client to accept. So a
// rule means the same for a server that polls all the time and for one that sleeps.
#include "faults.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace {

using support::Call;

/// Returns the function that would have been called without this library.
template <typename Function>
Function* real(Function* /*same*/, const char* name) {
    return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}
#define REAL(name)                                         \
    ([] {                                                  \
        static const auto function = real(&::name, #name); \
        return function;                                   \
    }())

struct Rule {
    Call call;
    int error;  // 0: short
    std::uint64_t every, first, last;

    [[nodiscard]] bool strikes(std::uint64_t nth) const {
        return every > 0 ? nth % every == 0 : first <= nth && nth <= last;
    }
};

int error_number(const std::string& name) {
    const std::pair<const char*, int> known[] = {
        {"short", 0},         {"EINTR", EINTR},   {"EAGAIN", EAGAIN},
        {"ENOBUFS", ENOBUFS}, {"ENOMEM", ENOMEM}, {"ECONNABORTED", ECONNABORTED},
        {"EPROTO", EPROTO},   {"ENFILE", ENFILE}, {"EMFILE", EMFILE},
        {"EPIPE", EPIPE},     {"EPERM", EPERM},   {"ECONNRESET", ECONNRESET},
        {"ENOSPC", ENOSPC}};
    for (const auto& [text, number] : known) {
        if (name == text) return number;
    }
    std::fprintf(stderr, "faults.so: FAULTS names an unknown error: %s\n", name.c_str());
    std::_Exit(125);
}

Rule parse_rule(const std::string& text) {
    char call[32];
    char error[32];
    char how = 0;
    unsigned long first = 0;
    unsigned long last = 0;
    const int found =  // NOLINTNEXTLINE(cert-err34-c): a test names small numbers
        std::sscanf(text.c_str(), "%31[^:]:%31[^/@]%c%lu-%lu", call, error, &how, &first, &last);
    for (std::size_t i = 0; found >= 4 && i < support::call_names.size(); ++i) {
        if (std::strcmp(call, support::call_names[i]) != 0) continue;
        if (how == '/') return {static_cast<Call>(i), error_number(error), first, 0, 0};
        return {static_cast<Call>(i), error_number(error), 0, first, found == 5 ? last : first};
    }
    std::fprintf(stderr, "faults.so: FAULTS has a rule that makes no sense: %s\n", text.c_str());
    std::_Exit(125);
}

/// The rules, and the counters that the test reads.
class Faults {
public:
    Faults() {
        const char* text = std::getenv("FAULTS");
        std::istringstream list(text != nullptr ? text : "");
        for (std::string rule; std::getline(list, rule, ',');) rules_.push_back(parse_rule(rule));

        const char* file = std::getenv("FAULT_COUNTERS");
        const int fd = file != nullptr ? ::open(file, O_RDWR | O_CLOEXEC) : -1;
        if (fd < 0) return;
        void* memory =
            ::mmap(nullptr, sizeof *counters_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (memory != MAP_FAILED) counters_ = static_cast<support::Counters*>(memory);
        ::close(fd);
    }

    static Faults& instance() {
        static Faults faults;
        return faults;
    }

    void count(Call call) { counters_->calls[static_cast<std::size_t>(call)]++; }

    /// Returns the rule that applies to this call, or null. The call would wait for `fd` to become
    /// readable; -1 means that it would not.
    const Rule* strike(Call call, int fd = -1) {
        const auto index = static_cast<std::size_t>(call);
        count(call);
        const auto concerns = [call](const Rule& rule) { return rule.call == call; };
        if (std::ranges::none_of(rules_, concerns)) return nullptr;
        if (fd >= 0 && !has_something(fd)) {
            errno = EAGAIN;  // no real call: a byte could have come meanwhile
            return &nothing_there_;
        }

        const std::uint64_t nth = ++attempts_[index];
        for (const Rule& rule : rules_) {
            if (rule.call != call || !rule.strikes(nth)) continue;
            counters_->faults++;
            errno = rule.error;
            return &rule;
        }
        return nullptr;
    }

private:
    /// Returns at once for a non-blocking descriptor; for a blocking one, sleeps as the call would.
    static bool has_something(int fd) {
        const bool blocking = (::fcntl(fd, F_GETFL) & O_NONBLOCK) == 0;
        pollfd question{fd, POLLIN, 0};
        return REAL(poll)(&question, 1, blocking ? -1 : 0) == 1;
    }

    support::Counters unshared_{};
    support::Counters* counters_ = &unshared_;
    std::vector<Rule> rules_;
    const Rule nothing_there_{Call::read, EAGAIN, 0, 0, 0};
    std::array<std::atomic<std::uint64_t>, support::call_names.size()> attempts_{};
};

/// Runs at program start, while descriptors are free.
[[gnu::constructor]] void load() {
    Faults::instance();
}

const Rule* strike(Call call, int fd = -1) {
    return Faults::instance().strike(call, fd);
}

/// Reduces `size` if the rule says "short". Returns false if the call has to fail.
bool passes(const Rule* rule, std::size_t& size) {
    if (rule == nullptr) return true;
    if (rule->error != 0) return false;
    size = std::min<std::size_t>(size, 1);
    return true;
}

}  // namespace

// Same names and signatures as in glibc; the dynamic linker finds these first.
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)
extern "C" {

ssize_t read(int fd, void* data, size_t size) {
    return passes(strike(Call::read, fd), size) ? REAL(read)(fd, data, size) : -1;
}

ssize_t recv(int fd, void* data, size_t size, int flags) {
    return passes(strike(Call::recv, fd), size) ? REAL(recv)(fd, data, size, flags) : -1;
}

ssize_t write(int fd, const void* data, size_t size) {
    return passes(strike(Call::write), size) ? REAL(write)(fd, data, size) : -1;
}

ssize_t send(int fd, const void* data, size_t size, int flags) {
    return passes(strike(Call::send), size) ? REAL(send)(fd, data, size, flags) : -1;
}

int accept(int fd, sockaddr* address, socklen_t* size) {
    return strike(Call::accept, fd) == nullptr ? REAL(accept)(fd, address, size) : -1;
}

int accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
    return strike(Call::accept4, fd) == nullptr ? REAL(accept4)(fd, address, size, flags) : -1;
}

int epoll_wait(int epoll, epoll_event* events, int room, int timeout) {
    if (strike(Call::epoll_wait) != nullptr) return -1;
    return REAL(epoll_wait)(epoll, events, room, timeout);
}

int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
    if (operation != EPOLL_CTL_ADD) {
        Faults::instance().count(Call::epoll_ctl);
    } else if (strike(Call::epoll_ctl) != nullptr) {
        return -1;
    }
    return REAL(epoll_ctl)(epoll, operation, fd, event);
}

int select(int count, fd_set* readable, fd_set* writable, fd_set* urgent, timeval* timeout) {
    if (strike(Call::select) != nullptr) return -1;
    return REAL(select)(count, readable, writable, urgent, timeout);
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                   void* argument) noexcept {
    // It returns the error, and does not set errno.
    if (strike(Call::pthread_create) != nullptr) return errno;
    return REAL(pthread_create)(thread, attributes, start, argument);
}

int poll(pollfd* descriptors, nfds_t count, int timeout) {
    return strike(Call::poll) == nullptr ? REAL(poll)(descriptors, count, timeout) : -1;
}

}  // extern "C"
// NOLINTEND(readability-inconsistent-declaration-parameter-name)
