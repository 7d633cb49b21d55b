// Exercise 06.3: what failed once may work the next time.
#pragma once

#include <exception>
#include <type_traits>
#include <utility>

#include "chapters/06-promises/io.hpp"
#include "chapters/06-promises/promise.hpp"

namespace promises {

/// Runs `operation`, which takes nothing and returns a promise, until an attempt succeeds: at most
/// `attempts` times (one or more). Before the second attempt it waits for `delay`, before the third
/// twice as long, and so on: whoever is overloaded is not helped by more of the same.
///
/// Fulfilled as the first attempt that is; rejected as the last one, without another wait. An
/// attempt has failed if its promise is rejected, or if `operation` throws. `operation` may be
/// copied, and is kept no longer than needed. `io` has to outlive the attempts.
template <typename F>
std::invoke_result_t<F&> retry(Io& io, int attempts, Duration delay, F operation) {
    // EXERCISE BEGIN 06.3 extend: try again, and wait longer each time
    // HINT A loop over a wait is a function that returns a promise of itself: see converse() in
    // HINT+ main.cpp. What changes from one attempt to the next are its arguments.
    // HINT One attempt, and where it fails catch_error(): sleep, then retry() with one attempt less
    // HINT+ and twice the delay. Return each promise, or nobody waits for it.
    // HINT The last attempt has no catch_error(). And resolved(io.jobs).then(operation) is a
    // HINT+ promise of what operation does, also where it throws.
    auto attempt = resolved(io.jobs).then(operation);
    if (attempts == 1) return attempt;
    return std::move(attempt).catch_error(
        [&io, attempts, delay, operation](const std::exception_ptr&) {
            return sleep(io, delay).then([&io, attempts, delay, operation] {
                return retry(io, attempts - 1, 2 * delay, operation);
            });
        });
    // EXERCISE END 06.3
}

}  // namespace promises
