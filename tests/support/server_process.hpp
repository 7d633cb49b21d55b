// A server that runs as a separate process and is observed from outside.
#pragma once

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "common/descriptor.hpp"
#include "common/error.hpp"
#include "tests/support/faults.hpp"
#include "tests/support/test.hpp"

namespace support {

/// How to start a server.
// NOLINTBEGIN(readability-redundant-member-init): g++ warns where a {} is missing
struct Start {
    std::uint16_t port = 0;                 ///< 0: any free port
    std::string faults{};                   ///< which system calls fail: see faults.cpp
    std::optional<rlim_t> descriptors{};    ///< its limit (RLIMIT_NOFILE, soft and hard)
    bool without_standard_streams = false;  ///< stdin, stdout and stderr closed
    std::string arguments{};                ///< more arguments, after those of --server
};
// NOLINTEND(readability-redundant-member-init)

/// The server that --server names. It runs from the constructor to the destructor, and its system
/// calls are counted. If it ends in between, the test fails.
class ServerProcess {
public:
    explicit ServerProcess(const Start& start = {}) : counters_(shared_memory("counters")) {
        if (::ftruncate(counters_.fd(), sizeof(Counters)) == -1) {
            common::throw_errno("a test needs memory");
        }
        void* memory = ::mmap(nullptr, sizeof(Counters), PROT_READ, MAP_SHARED, counters_.fd(), 0);
        shared_ = static_cast<const Counters*>(memory);

        int ends[2];
        common::check(::pipe2(ends, O_CLOEXEC), "a test needs a pipe");
        stdout_ = common::Descriptor(ends[0]);
        common::Descriptor output(ends[1]);
        run(start, output.fd());
        output.close();
        port_ = start.without_standard_streams ? find_port() : announced_port();
    }

    ServerProcess(const ServerProcess&) = delete;
    ServerProcess& operator=(const ServerProcess&) = delete;

    ~ServerProcess() {
        if (pid_ > 0) {
            // A process that has already ended is not changed by this, and reports how it ended.
            ::kill(pid_, SIGKILL);
            ::waitpid(pid_, &status_, 0);
            if (!WIFSIGNALED(status_) || WTERMSIG(status_) != SIGKILL) {
                FAIL_CHECK("the server ended by itself: ", ending(),
                           ". On stderr it printed: ", log());
            }
        }
        ::munmap(const_cast<Counters*>(shared_), sizeof(Counters));
    }

    [[nodiscard]] std::uint16_t port() const { return port_; }
    [[nodiscard]] pid_t pid() const { return pid_; }

    void signal(int number) const { ::kill(pid_, number); }

    /// Sends SIGTERM (or another signal) and waits for the end of the server. Returns how it ended:
    /// "signal 15 (Terminated)" or "exit status 0".
    std::string stop(int number = SIGTERM) {
        signal(number);
        wait_until("the server's end after signal " + std::to_string(number),
                   [this] { return ::waitpid(pid_, &status_, WNOHANG) == pid_; });
        pid_ = -1;
        return ending();
    }

    /// Closes the reading end of the pipe to which the server prints.
    void close_stdout() { stdout_.close(); }

    /// Returns what it has written to stderr so far.
    [[nodiscard]] std::string log() const {
        std::string text(64 * 1024, '\0');
        const ssize_t size = ::pread(stderr_.fd(), text.data(), text.size(), 0);
        text.resize(static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
        return text;
    }

    /// Returns how many system calls of that kind it has made so far.
    [[nodiscard]] std::uint64_t calls(Call call) const {
        return shared_->calls[static_cast<std::size_t>(call)];
    }

    [[nodiscard]] std::uint64_t all_calls() const {
        std::uint64_t sum = 0;
        for (const auto& count : shared_->calls) sum += count;
        return sum;
    }

    /// Returns how many of its system calls were made to fail.
    [[nodiscard]] std::uint64_t faults() const { return shared_->faults; }

    /// Returns the CPU time of all its threads.
    [[nodiscard]] std::chrono::nanoseconds cpu_time() const {
        clockid_t clock{};
        timespec time{};
        ::clock_getcpuclockid(pid_, &clock);
        ::clock_gettime(clock, &time);
        return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
    }

    [[nodiscard]] std::size_t threads() const { return entries("task"); }
    [[nodiscard]] std::size_t descriptors() const { return entries("fd"); }

    /// Returns those of its descriptors that a program which it starts would inherit, without
    /// stdin, stdout and stderr: "3 (socket:[4711])".
    [[nodiscard]] std::vector<std::string> inherited_descriptors() const {
        std::vector<std::string> found;
        for (const auto& entry : std::filesystem::directory_iterator(proc("fdinfo"))) {
            const std::string number = entry.path().filename();
            std::ifstream file(entry.path());
            std::string key;
            unsigned long flags = 0;
            while (file >> key && key != "flags:") file.ignore(1000, '\n');
            file >> std::oct >> flags;
            std::error_code gone;
            const auto name = read_symlink(proc("fd") / number, gone);
            if (std::stoi(number) > STDERR_FILENO && (flags & O_CLOEXEC) == 0 && !gone) {
                found.push_back(number + " (" + name.string() + ")");
            }
        }
        return found;
    }

    /// Returns a duplicate of each of its sockets that is connected (pidfd_getfd(2)): none if the
    /// system forbids it.
    [[nodiscard]] std::vector<common::Descriptor> connections() const {
        std::vector<common::Descriptor> found;
        const common::Descriptor process(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
        for (const auto& entry : std::filesystem::directory_iterator(proc("fd"))) {
            const int number = std::stoi(entry.path().filename());
            common::Descriptor copy(
                static_cast<int>(::syscall(SYS_pidfd_getfd, process.fd(), number, 0)));
            sockaddr_in address{};
            socklen_t size = sizeof address;
            auto* generic = reinterpret_cast<sockaddr*>(&address);
            if (copy && ::getpeername(copy.fd(), generic, &size) == 0 &&
                address.sin_family == AF_INET) {
                found.push_back(std::move(copy));
            }
        }
        return found;
    }

    /// Returns its resident memory, in KiB.
    [[nodiscard]] long memory() const { return status_number("VmRSS:"); }

    /// Changes its limit on open descriptors while it runs (prlimit(2)).
    void limit_descriptors(rlim_t soft) const {
        rlimit limit{};
        ::prlimit(pid_, RLIMIT_NOFILE, nullptr, &limit);
        limit.rlim_cur = soft;
        common::check(::prlimit(pid_, RLIMIT_NOFILE, &limit, nullptr), "cannot limit the server");
    }

    /// Waits until all its threads sleep in a system call: then all pending work is done.
    void wait_until_asleep() const {
        wait_until("the server to go to sleep (state S in /proc/PID/stat)",
                   [this] { return all_threads_are('S'); });
    }

    /// Stops it (SIGSTOP), and waits until it is stopped. SIGCONT continues it.
    void pause() const {
        signal(SIGSTOP);
        wait_until("the server to stop (state T in /proc/PID/stat)",
                   [this] { return all_threads_are('T'); });
    }

    /// Returns how often its threads have gone to sleep so far.
    [[nodiscard]] long sleeps() const {
        long sum = 0;
        for (const auto& task : std::filesystem::directory_iterator(proc("task"))) {
            sum += status_number("voluntary_ctxt_switches:", task.path() / "status");
        }
        return sum;
    }

private:
    static common::Descriptor shared_memory(const char* name) {
        return common::Descriptor(
            common::check(::memfd_create(name, MFD_CLOEXEC), "a test needs memory"));
    }

    void run(const Start& start, int output) {
        std::istringstream words(options().server + " " + start.arguments);
        std::vector<std::string> arguments;
        for (std::string word; words >> word;) arguments.push_back(word);
        REQUIRE_MESSAGE(!arguments.empty(), "this suite needs --server=NAME, like 03-select");
        arguments[0] = options().build + "/" + arguments[0];
        arguments.insert(arguments.end(), {"--port", std::to_string(start.port)});

        // The library writes its counts into shared memory, which it opens through our descriptor.
        const char* sanitizer = std::getenv("ASAN_OPTIONS");
        std::vector<std::string> environment{
            "LD_PRELOAD=" +
                std::filesystem::absolute(options().build + "/tests/faults.so").string(),
            "FAULT_COUNTERS=/proc/" + std::to_string(::getpid()) + "/fd/" +
                std::to_string(counters_.fd()),
            "FAULTS=" + start.faults,
            std::string("ASAN_OPTIONS=verify_asan_link_order=0:") +
                (sanitizer != nullptr ? sanitizer : "")};
        const char* entered = std::getenv("ENTERED");  // see tests/exercises/entered.hpp
        if (entered != nullptr) environment.push_back(std::string("ENTERED=") + entered);

        const auto pointers = [](std::vector<std::string>& texts) {
            std::vector<char*> list;
            for (std::string& text : texts) list.push_back(text.data());
            list.push_back(nullptr);
            return list;
        };
        const std::vector<char*> argv = pointers(arguments);
        const std::vector<char*> envp = pointers(environment);
        const rlim_t most = start.descriptors.value_or(0);

        pid_ = common::check(::fork(), "cannot start a process");
        if (pid_ != 0) return;
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // it must not outlive a crashed test
        std::signal(SIGPIPE, SIG_DFL);       // we ignore it; the server would inherit that
        rlimit limit{};
        ::getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 1024);  // the usual limit of a shell
        if (most > 0) limit = {most, most};
        ::dup2(::open("/dev/null", O_RDONLY | O_CLOEXEC), STDIN_FILENO);
        ::dup2(output, STDOUT_FILENO);
        ::dup2(stderr_.fd(), STDERR_FILENO);
        if (start.without_standard_streams) {
            for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::close(fd);
        }
        // It inherits nothing else, whatever is open where the tests were started.
        for (int fd = STDERR_FILENO + 1; fd < 1024; ++fd) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
        ::setrlimit(RLIMIT_NOFILE, &limit);
        ::execve(argv[0], argv.data(), envp.data());
        ::perror(argv[0]);
        ::_exit(127);
    }

    /// Returns true if /proc/PID/stat shows this state for each of its threads.
    [[nodiscard]] bool all_threads_are(char state) const {
        for (const auto& task : std::filesystem::directory_iterator(proc("task"))) {
            std::ifstream file(task.path() / "stat");
            std::string line;
            std::getline(file, line);
            const std::size_t name_end = line.rfind(')');
            if (name_end != std::string::npos && line.substr(name_end + 2, 1)[0] != state) {
                return false;
            }
        }
        return true;
    }

    /// Reads the port from the first line that the server prints.
    std::uint16_t announced_port() {
        std::string line;
        pollfd question{stdout_.fd(), POLLIN, 0};
        waiting_for("the server's first line");
        while (line.find('\n') == std::string::npos) {
            char byte = 0;
            if (::poll(&question, 1, static_cast<int>(deadline().count())) != 1 ||
                ::read(stdout_.fd(), &byte, 1) != 1) {
                break;
            }
            line += byte;
        }
        int number = 0;
        // NOLINTNEXTLINE(cert-err34-c): what the server has printed is a short number
        if (std::sscanf(line.c_str(), "listening on 127.0.0.1:%d\n", &number) != 1) {
            FAIL("we started \"", options().server,
                 "\" and expected its first line to be 'listening on 127.0.0.1:PORT'; it was ",
                 quoted(line), ", and on stderr ", quoted(log()));
        }
        return static_cast<std::uint16_t>(number);
    }

    /// Finds the port of a server that cannot print: /proc/net/tcp lists all sockets by the inode
    /// that /proc/PID/fd also shows.
    [[nodiscard]] std::uint16_t find_port() const {
        unsigned port = 0;
        wait_until("the server to listen (in /proc/net/tcp)", [&] {
            std::ifstream table("/proc/net/tcp");
            for (std::string line; std::getline(table, line);) {
                char state[3] = {};
                unsigned here = 0;
                unsigned long inode = 0;
                const int found =  // NOLINTNEXTLINE(cert-err34-c): the kernel's numbers fit
                    std::sscanf(line.c_str(), "%*s %*8s:%x %*s %2s %*s %*s %*s %*s %*s %lu", &here,
                                state, &inode);
                (void)found;
                if (std::string(state) == "0A" && owns_socket(inode)) port = here;
            }
            return port != 0;
        });
        return static_cast<std::uint16_t>(port);
    }

    [[nodiscard]] bool owns_socket(unsigned long inode) const {
        const std::string name = "socket:[" + std::to_string(inode) + "]";
        return std::ranges::any_of(std::filesystem::directory_iterator(proc("fd")),
                                   [&](const auto& entry) {
                                       std::error_code gone;
                                       return read_symlink(entry.path(), gone) == name;
                                   });
    }

    [[nodiscard]] std::string ending() const {
        if (WIFSIGNALED(status_)) {
            return "signal " + std::to_string(WTERMSIG(status_)) + " (" +
                   strsignal(WTERMSIG(status_)) + ")";
        }
        return "exit status " + std::to_string(WEXITSTATUS(status_));
    }

    [[nodiscard]] std::filesystem::path proc(const char* name) const {
        return "/proc/" + std::to_string(pid_) + "/" + name;
    }

    [[nodiscard]] std::size_t entries(const char* name) const {
        std::error_code gone;
        const std::filesystem::directory_iterator all(proc(name), gone);
        return static_cast<std::size_t>(std::distance(begin(all), end(all)));
    }

    [[nodiscard]] long status_number(const std::string& key) const {
        return status_number(key, proc("status"));
    }

    static long status_number(const std::string& key, const std::filesystem::path& path) {
        std::ifstream file(path);
        for (std::string word; file >> word;) {
            long number = 0;
            if (word == key && file >> number) return number;
        }
        return 0;
    }

    common::Descriptor counters_;
    common::Descriptor stderr_ = shared_memory("stderr");
    common::Descriptor stdout_;
    const Counters* shared_ = nullptr;
    pid_t pid_ = -1;
    int status_ = 0;
    std::uint16_t port_ = 0;
};

}  // namespace support
