// The servers of the course and their differences, one line each. tests/run.py reads this too.
#pragma once

#include <string>

#include "tests/support/test.hpp"

namespace service {

/// How a server differs from the others; all of them echo.
struct Server {
    std::string server;                ///< program and arguments
    bool one_at_a_time = false;        ///< the second client waits until the first leaves
    bool thread_for_each = false;      ///< one thread per client
    bool burns = false;                ///< uses the CPU even while nothing happens
    bool blocks = false;               ///< its sockets are blocking: no EAGAIN
    bool edge_triggered = false;       ///< after EAGAIN it waits for the next edge
    bool short_is_all = false;         ///< treats a short read as the last one
    int highest_descriptor = 0;        ///< it serves no descriptor above this; 0: any
    unsigned calls_for_a_request = 0;  ///< system calls in steady state; 0: no bound
};

inline const Server servers[] = {
    {.server = "01-blocking-read", .one_at_a_time = true, .blocks = true, .calls_for_a_request = 2},
    {.server = "01-threads", .thread_for_each = true, .blocks = true, .calls_for_a_request = 2},
    {.server = "02-polling", .burns = true},
    {.server = "03-select", .highest_descriptor = 1023, .calls_for_a_request = 3},
    {.server = "04-epoll", .calls_for_a_request = 3},
    {.server = "04-epoll --edge", .edge_triggered = true, .calls_for_a_request = 4},
    {.server = "05-callback-loop", .calls_for_a_request = 3},
    {.server = "05-callback-loop --idle-timeout 3600", .calls_for_a_request = 3},
    {.server = "06-promises", .calls_for_a_request = 3},
    {.server = "06-promises --idle-timeout 3600", .calls_for_a_request = 3},
    {.server = "08-coroutine-loop",
     .edge_triggered = true,
     .short_is_all = true,
     .calls_for_a_request = 3},
    {.server = "08-coroutine-loop --idle-timeout 3600",
     .edge_triggered = true,
     .short_is_all = true,
     .calls_for_a_request = 3},
};

/// Returns the server under test.
inline const Server& server() {
    for (const Server& known : servers) {
        if (known.server == support::options().server) return known;
    }
    FAIL("tests/service/servers.hpp has no line for \"", support::options().server, "\"");
    return servers[0];
}

}  // namespace service
