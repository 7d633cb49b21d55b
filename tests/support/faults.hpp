// The counters that faults.so keeps inside a server and the tests read from outside.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace support {

/// The system calls that faults.so intercepts.
enum class Call : std::uint8_t {
    read,
    write,
    recv,
    send,
    accept,
    accept4,
    epoll_wait,
    epoll_ctl,
    select,
    poll,
    pthread_create  //
};

inline constexpr std::array call_names{"read",   "write",   "recv",          "send",
                                       "accept", "accept4", "epoll_wait",    "epoll_ctl",
                                       "select", "poll",    "pthread_create"};

/// Lives in memory shared by the test and the server; initially zero.
struct Counters {
    std::array<std::atomic<std::uint64_t>, call_names.size()> calls;
    std::atomic<std::uint64_t> faults;  // how many of the calls were made to fail
};

}  // namespace support
