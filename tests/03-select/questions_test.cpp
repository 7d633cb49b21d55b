// What the kernel is asked by SelectSet and PollSet, and what they make of its answer.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <system_error>
#include <type_traits>

#include "chapters/03-select/exercises/poll_set.hpp"
#include "chapters/03-select/select_set.hpp"
#include "common/descriptor.hpp"
#include "tests/support/idle_kernel.hpp"
#include "tests/support/socket_pair.hpp"

namespace {

using namespace std::chrono_literals;
using common::Descriptor;
using selecting::PollSet;
using selecting::SelectSet;
using support::IdleKernel;
using support::SocketPair;

template <typename Set>
std::chrono::microseconds sleep_of(std::chrono::milliseconds timeout) {
    IdleKernel kernel(0);
    Set set;
    set.wait(timeout);
    return kernel.sleep;
}

/// The same descriptor under another number, which is at least `number`.
Descriptor renumbered(const Descriptor& descriptor, int number) {
    return Descriptor(::fcntl(descriptor.fd(), F_DUPFD_CLOEXEC, number));
}

}  // namespace

extern "C" int select(int count, fd_set* readable, fd_set* writable, fd_set* urgent,
                      timeval* limit) {
    if (IdleKernel::current == nullptr) {
        // The kernel's pselect6 takes a timespec, and the limit is not reported back.
        timespec time{};
        if (limit != nullptr) time = {limit->tv_sec, limit->tv_usec * 1000};
        return static_cast<int>(::syscall(SYS_pselect6, count, readable, writable, urgent,
                                          limit != nullptr ? &time : nullptr, nullptr));
    }
    return IdleKernel::current->answer(limit == nullptr
                                           ? std::chrono::microseconds(-1)
                                           : std::chrono::seconds(limit->tv_sec) +
                                                 std::chrono::microseconds(limit->tv_usec));
}

extern "C" int poll(pollfd* entries, nfds_t count, int limit) {
    if (IdleKernel::current == nullptr) {
        timespec time{limit / 1000, limit % 1000 * 1'000'000L};
        return static_cast<int>(
            ::syscall(SYS_ppoll, entries, count, limit >= 0 ? &time : nullptr, nullptr, 0));
    }
    return IdleKernel::current->answer(
        limit < 0 ? std::chrono::microseconds(-1)
                  : std::chrono::microseconds(std::chrono::milliseconds(limit)));
}

TEST_CASE_TEMPLATE("the kernel is asked to sleep for as long as wait() says", Set, SelectSet,
                   PollSet) {
    CHECK_MESSAGE(sleep_of<Set>(0ms) == -1us, "zero stands for no limit");
    for (const auto timeout : {1ms, 2ms, 999ms, 1000ms, 2500ms}) {
        INFO("wait(", timeout.count(), "ms)");
        CHECK(sleep_of<Set>(timeout).count() == 1000 * timeout.count());
    }
}

TEST_CASE_TEMPLATE("an error that is not a signal is thrown", Set, SelectSet, PollSet) {
    for (const int error : {EBADF, EINVAL, ENOMEM}) {
        IdleKernel kernel(error);
        Set set;
        CHECK_THROWS_AS(set.wait(0ms), std::system_error);
    }
}

TEST_CASE_TEMPLATE("after a signal neither a reader nor a writer is ready", Set, SelectSet,
                   PollSet) {
    const SocketPair pair;
    IdleKernel kernel(EINTR);
    Set set;
    set.add_reader(pair.ours.fd());
    set.add_writer(pair.theirs.fd());
    set.wait(0ms);
    CHECK_FALSE(set.is_ready(pair.ours.fd()));
    CHECK_FALSE(set.is_ready(pair.theirs.fd()));
}

TEST_CASE_TEMPLATE("whatever the order of the numbers, each has its own answer", Set, SelectSet,
                   PollSet) {
    const SocketPair talks;
    const SocketPair silent;
    talks.say("x");
    const Descriptor high = renumbered(talks.ours, 300);
    const Descriptor low = renumbered(silent.ours, 200);
    Set set;
    set.add_reader(high.fd());
    set.add_reader(low.fd());
    set.wait(0ms);
    CHECK(set.is_ready(high.fd()));
    CHECK_FALSE(set.is_ready(low.fd()));
    INFO("numbers that were not added: between the two, and next to them");
    for (const int number : {low.fd() - 1, low.fd() + 1, high.fd() - 1, high.fd() + 1}) {
        CHECK_FALSE(set.is_ready(number));
    }
}
