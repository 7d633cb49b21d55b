// Owning a file descriptor.
#pragma once

#include <unistd.h>

#include <utility>

namespace common {

/// Owns one file descriptor and closes it. Can be moved, not copied: two owners
/// would close twice, and the second close would hit whatever had been given
/// the same number meanwhile.
class Descriptor {
public:
    /// Owns nothing.
    Descriptor() = default;

    /// Takes over `fd`; a negative number means "owns nothing", as the system
    /// calls have it.
    explicit Descriptor(int fd) : fd_(fd) {}

    Descriptor(Descriptor&& other) noexcept
        : fd_(std::exchange(other.fd_, -1)) {}

    Descriptor& operator=(Descriptor&& other) noexcept {
        if (this != &other) {
            close();
            fd_ = std::exchange(other.fd_, -1);
        }
        return *this;
    }

    ~Descriptor() { close(); }

    /// The number, for system calls; stays owned here. -1 where nothing is
    /// owned.
    [[nodiscard]] int fd() const { return fd_; }

    /// Is there a descriptor?
    explicit operator bool() const { return fd_ >= 0; }

    /// Closes it now. Never repeated on EINTR: Linux has freed the number by
    /// then (close(2)).
    void close() {
        if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    }

private:
    int fd_ = -1;
};

}  // namespace common
