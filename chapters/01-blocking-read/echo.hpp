// The conversation with one client: whatever it says comes back.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace blocking {

/// Writes all of it, however little the kernel takes at a time. Sleeps while the client's side is
/// full. Returns false when the client is gone.
inline bool write_all(int client, const char* data, std::size_t size) {
    // EXERCISE BEGIN 01.1 write all of it
    // HINT write(2) returns how many bytes it took. That may be fewer than you offered.
    // HINT A loop: as long as something is left, write from where the last write stopped.
    // HINT Each write moves `data` on and `size` down by its result. EINTR: again. Other errors:
    // HINT+ false.
    while (size > 0) {
        const ssize_t count = write(client, data, size);
        if (count < 0 && errno == EINTR) continue;  // a signal came first: nothing was written
        if (count < 0) return false;                // ECONNRESET, EPIPE: nobody is there any more
        data += count;
        size -= static_cast<std::size_t>(count);
    }
    return true;
    // EXERCISE END 01.1
}

/// Sends back every byte until the client says that no more will come, or is gone.
/// `client` is a connected, blocking socket; the caller closes it.
inline void echo(int client) {
    // EXERCISE BEGIN 01.2 the conversation with one client
    // HINT read(2) has three kinds of answers: a number of bytes, 0, and -1. Which end the talk?
    // HINT The buffer is no C string: bytes may be 0, and only the first `count` of them are new.
    // HINT EINTR: read again. 0 or an error: return. Otherwise write_all() exactly what came.
    char buffer[16 * 1024];
    while (true) {
        const ssize_t count = read(client, buffer, sizeof buffer);  // sleeps until there is data
        if (count < 0 && errno == EINTR) continue;                  // a signal came first
        if (count <= 0) return;                                     // 0: end of input; -1: gone
        if (!write_all(client, buffer, static_cast<std::size_t>(count))) return;
    }
    // EXERCISE END 01.2
}

}  // namespace blocking
