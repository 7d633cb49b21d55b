// The conversation with one client: the server sends back whatever it receives.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace blocking {

/// Writes all `size` bytes, in as many calls as the kernel needs. Blocks while
/// the socket's send buffer is full. A signal (EINTR), however often it comes,
/// is no failure. Returns false if the client has disconnected: any other
/// error. (SIGPIPE is ignored, see run_program(): the call fails with EPIPE.)
inline bool write_all(int client, const char* data, std::size_t size) {
    while (size > 0) {
        const ssize_t count = write(client, data, size);
        // A signal came before anything was written.
        if (count < 0 && errno == EINTR) continue;
        // ECONNRESET, EPIPE: the client has disconnected.
        if (count < 0) return false;
        data += count;
        size -= static_cast<std::size_t>(count);
    }
    return true;
}

/// Sends back every byte, whatever its value, until the client ends its input
/// or disconnects. What one read returns, up to 16 KiB, goes back with one
/// write: a small buffer would cost more calls. `client` is a connected,
/// blocking socket; the caller closes it.
inline void echo(int client) {
    char buffer[16 * 1024];
    while (true) {
        // The thread sleeps in this call until the client has sent something.
        const ssize_t count = read(client, buffer, sizeof buffer);
        // A signal came before any data.
        if (count < 0 && errno == EINTR) continue;
        // End of input, or an error
        if (count <= 0) return;
        if (!write_all(client, buffer, static_cast<std::size_t>(count))) return;
    }
}

}  // namespace blocking
