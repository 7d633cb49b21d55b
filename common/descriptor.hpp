// Ownership of a file descriptor.
#pragma once

#include <unistd.h>

#include <utility>

namespace common {

/// Owns one file descriptor and closes it. It can be moved but not copied: two
/// owners would close the number twice, and by the second time the kernel may
/// have given it to another file.
class Descriptor {
public:
    /// Owns nothing.
    Descriptor() = default;

    /// Takes ownership of `fd`. A negative number, which is how system calls
    /// report failure, means "owns nothing".
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

    /// Returns the number for use in system calls, or -1 if nothing is owned.
    /// Ownership stays here.
    [[nodiscard]] int fd() const { return fd_; }

    /// Returns true if a descriptor is owned.
    explicit operator bool() const { return fd_ >= 0; }

    /// Closes the descriptor now. It is not closed again after EINTR, since by
    /// then Linux has freed the number (close(2)).
    void close() {
        if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    }

private:
    int fd_ = -1;
};

}  // namespace common
