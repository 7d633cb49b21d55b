// Signals as something to read, so that an event loop can wait for them.
#pragma once

#include <sys/signalfd.h>

#include <csignal>
#include <initializer_list>

#include "common/descriptor.hpp"
#include "common/error.hpp"

namespace callbacks {

/// From now on these signals do not interrupt or end the program: they make a
/// descriptor readable (signalfd(2)). Create it before any thread is started:
/// threads inherit what is blocked. They stay blocked afterwards: one that came
/// unread would end the program after all.
class Signals {
public:
    Signals(std::initializer_list<int> signals) {
        sigset_t set;
        sigemptyset(&set);
        for (const int signal : signals) sigaddset(&set, signal);
        common::check(::sigprocmask(SIG_BLOCK, &set, nullptr),
                      "cannot block signals");
        signals_ = common::Descriptor(
            common::check(::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC),
                          "cannot watch signals"));
    }

    /// Readable when one of them has come.
    [[nodiscard]] int fd() const { return signals_.fd(); }

private:
    common::Descriptor signals_;
};

}  // namespace callbacks
