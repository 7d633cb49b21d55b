// Exercise 06.3: try again, and wait longer each time.
#pragma once

#include <exception>
#include <type_traits>
#include <utility>

#include "chapters/06-promises/io.hpp"
#include "chapters/06-promises/promise.hpp"

namespace promises {

/// Calls `operation`, which takes no arguments and returns a promise, until an
/// attempt succeeds: at most `attempts` times (one or more). Before the second
/// attempt it waits for `delay`, before the third twice as long, and so on
/// (exponential backoff), so that an overloaded server gets time to recover.
///
/// Returns a promise with the value of the first attempt that succeeds, or with
/// the error of the last one, without another wait. An attempt has failed if
/// its promise is rejected, or if `operation` throws. `operation` may be
/// copied, and is kept no longer than needed. `io` must outlive the attempts.
template <typename F>
std::invoke_result_t<F&> retry(Io& io, int attempts, Duration delay,
                               F operation) {
    auto attempt = resolved(io.jobs).then(operation);
    if (attempts == 1) return attempt;
    return std::move(attempt).catch_error(
        [&io, attempts, delay, operation](const std::exception_ptr&) {
            return sleep(io, delay).then([&io, attempts, delay, operation] {
                return retry(io, attempts - 1, 2 * delay, operation);
            });
        });
}

}  // namespace promises
