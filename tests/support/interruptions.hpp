// Signals that interrupt system calls.
#pragma once

#include <csignal>
#include <ctime>

#include "common/error.hpp"

namespace support {

/// During its lifetime a signal arrives every millisecond, so a call that sleeps fails with EINTR.
/// The signal repeats because one that arrives before the call sleeps is lost.
class Interruptions {
public:
    Interruptions() {
        struct sigaction action{};
        action.sa_handler = [](int) {};  // without SA_RESTART
        ::sigaction(SIGVTALRM, &action, &before_);
        sigevent event{};
        event.sigev_notify = SIGEV_SIGNAL;
        event.sigev_signo = SIGVTALRM;
        common::check(::timer_create(CLOCK_MONOTONIC, &event, &timer_), "a test needs a timer");
        const itimerspec every_millisecond{{0, 1'000'000}, {0, 1'000'000}};
        ::timer_settime(timer_, 0, &every_millisecond, nullptr);
    }
    ~Interruptions() {
        ::timer_delete(timer_);
        ::sigaction(SIGVTALRM, &before_, nullptr);
    }
    Interruptions(const Interruptions&) = delete;
    Interruptions& operator=(const Interruptions&) = delete;

private:
    struct sigaction before_{};
    timer_t timer_{};
};

}  // namespace support
