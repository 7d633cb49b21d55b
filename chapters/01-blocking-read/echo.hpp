// The conversation with one client: whatever it says comes back.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace blocking {

/// Writes all of it, however little the kernel takes at a time. Sleeps while
/// the client's side is full. Returns false when the client is gone.
inline bool write_all(int client, const char* data, std::size_t size) {
    while (size > 0) {
        const ssize_t count = write(client, data, size);
        // A signal came first: nothing was written
        if (count < 0 && errno == EINTR) continue;
        // ECONNRESET, EPIPE: nobody is there any more
        if (count < 0) return false;
        data += count;
        size -= static_cast<std::size_t>(count);
    }
    return true;
}

/// Sends back every byte until the client says that no more will come, or is
/// gone. `client` is a connected, blocking socket; the caller closes it.
inline void echo(int client) {
    char buffer[16 * 1024];
    while (true) {
        // Sleeps until there is data
        const ssize_t count = read(client, buffer, sizeof buffer);
        // A signal came first
        if (count < 0 && errno == EINTR) continue;
        // 0: end of input; -1: gone
        if (count <= 0) return;
        if (!write_all(client, buffer, static_cast<std::size_t>(count))) return;
    }
}

}  // namespace blocking
