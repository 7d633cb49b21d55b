// Intercepts system calls of the code under test, in the same process: a test decides what the next
// read, write or accept does. Including this file defines those calls for the whole test program;
// while no test intercepts them, they make the real system call.
#pragma once

#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstddef>
#include <functional>

namespace support {

/// The flags of the recv(2) or send(2) that is under way; -1: it is a read(2) or a write(2).
inline int transfer_flags = -1;

/// The flags of the accept4(2) that is under way; 0 for accept(2).
inline int accept_flags = 0;

struct TransferFlags {
    explicit TransferFlags(int flags) { transfer_flags = flags; }
    ~TransferFlags() { transfer_flags = -1; }
    TransferFlags(const TransferFlags&) = delete;
    TransferFlags& operator=(const TransferFlags&) = delete;
};

/// The system calls of this process, as the code under test sees them. Each function returns what
/// the call returns; for an error it sets errno and returns -1. A recv(2) is a read, and a send(2)
/// is a write: code may use either.
struct SystemCalls {
    std::function<ssize_t(int, void*, std::size_t)> read = real_read;
    std::function<ssize_t(int, const void*, std::size_t)> write = real_write;
    std::function<int(int)> accept = real_accept;

    static ssize_t real_read(int fd, void* data, std::size_t size) {
        if (transfer_flags == -1) return ::syscall(SYS_read, fd, data, size);
        return ::syscall(SYS_recvfrom, fd, data, size, transfer_flags, nullptr, nullptr);
    }
    static ssize_t real_write(int fd, const void* data, std::size_t size) {
        if (transfer_flags == -1) return ::syscall(SYS_write, fd, data, size);
        return ::syscall(SYS_sendto, fd, data, size, transfer_flags, nullptr, 0);
    }
    static int real_accept(int fd) {
        return static_cast<int>(::syscall(SYS_accept4, fd, nullptr, nullptr, accept_flags));
    }
};

inline SystemCalls* interposed = nullptr;

/// During its lifetime, its three functions are called instead of the kernel.
struct Interposed : SystemCalls {
    Interposed() { interposed = this; }
    ~Interposed() { interposed = nullptr; }
    Interposed(const Interposed&) = delete;
    Interposed& operator=(const Interposed&) = delete;
};

/// Thrown by a test from a system call that is repeated too often: the code under test would never
/// return.
struct Spinning {};

}  // namespace support

// The linker prefers these to the C library's. They are weak, so several files may include them.
// NOLINTBEGIN(misc-definitions-in-headers,readability-inconsistent-declaration-parameter-name)
extern "C" {

__attribute__((weak)) ssize_t read(int fd, void* data, size_t size) {
    return support::interposed != nullptr ? support::interposed->read(fd, data, size)
                                          : support::SystemCalls::real_read(fd, data, size);
}

__attribute__((weak)) ssize_t write(int fd, const void* data, size_t size) {
    // What the tests print is not the code's.
    return support::interposed != nullptr && fd > STDERR_FILENO
               ? support::interposed->write(fd, data, size)
               : support::SystemCalls::real_write(fd, data, size);
}

__attribute__((weak)) ssize_t recv(int fd, void* data, size_t size, int flags) {
    const support::TransferFlags of_this_call(flags);
    return read(fd, data, size);
}

__attribute__((weak)) ssize_t send(int fd, const void* data, size_t size, int flags) {
    const support::TransferFlags of_this_call(flags);
    return write(fd, data, size);
}

/// Both may move fewer bytes than they are offered, so the first block is enough.
__attribute__((weak)) ssize_t readv(int fd, const iovec* blocks, int count) {
    while (count > 1 && blocks->iov_len == 0) ++blocks, --count;
    return read(fd, blocks->iov_base, blocks->iov_len);
}

__attribute__((weak)) ssize_t writev(int fd, const iovec* blocks, int count) {
    while (count > 1 && blocks->iov_len == 0) ++blocks, --count;
    return write(fd, blocks->iov_base, blocks->iov_len);
}

__attribute__((weak)) int accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
    if (support::interposed != nullptr) {
        support::accept_flags = flags;
        return support::interposed->accept(fd);
    }
    return static_cast<int>(::syscall(SYS_accept4, fd, address, size, flags));
}

__attribute__((weak)) int accept(int fd, sockaddr* address, socklen_t* size) {
    return accept4(fd, address, size, 0);
}

}  // extern "C"
// NOLINTEND(misc-definitions-in-headers,readability-inconsistent-declaration-parameter-name)
