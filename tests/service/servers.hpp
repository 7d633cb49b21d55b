// The servers of the course, and in what they differ: one line each. tests/run.py reads it too.
#pragma once

#include <string>

#include "tests/support/test.hpp"

namespace service {

/// What a server is, beyond the echo that all of them promise.
struct Server {
    std::string server;                ///< program and arguments
    bool one_at_a_time = false;        ///< the second client waits until the first has left
    bool thread_for_each = false;      ///< a thread for each client
    bool burns = false;                ///< works all the time, also while nothing happens
    bool blocks = false;               ///< its sockets are blocking: EAGAIN never comes
    bool edge_triggered = false;       ///< after EAGAIN it waits for the next edge
    bool short_is_all = false;         ///< a read that fills no buffer has emptied the socket
    int highest_descriptor = 0;        ///< it can serve no descriptor above this one; 0: any
    unsigned calls_for_a_request = 0;  ///< system calls in steady state; 0: there is no bound
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

/// The one that is being tested.
inline const Server& server() {
    for (const Server& known : servers) {
        if (known.server == support::options().server) return known;
    }
    FAIL("tests/service/servers.hpp has no line for \"", support::options().server, "\"");
    return servers[0];
}

}  // namespace service
