// Signals as a readable descriptor, so that an event loop can wait for them.
#pragma once

#include <sys/signalfd.h>

#include <csignal>
#include <initializer_list>

#include "common/descriptor.hpp"
#include "common/error.hpp"

namespace callbacks {

/// Blocks signals, so that they do not interrupt or end the program but make a
/// descriptor readable (signalfd(2)). Create it before starting any thread,
/// because threads inherit the blocked signals. The destructor leaves them
/// blocked: a signal that came and was not read would otherwise end the
/// program.
class Signals {
public:
    /// Throws std::system_error.
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

    /// Returns the descriptor, which is readable when a signal has come.
    [[nodiscard]] int fd() const { return signals_.fd(); }

private:
    common::Descriptor signals_;
};

}  // namespace callbacks
