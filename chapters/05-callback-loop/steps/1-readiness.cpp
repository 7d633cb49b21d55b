// Step 05.1: a loop that knows descriptors and callbacks, and nothing about
// what they are for.
//
// Two pipes and two readers. This works as long as no descriptor is replaced in
// the middle of a batch: the loop finds a callback by the *number* of its
// descriptor, and numbers are reused.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "chapters/04-epoll/epoll.hpp"
#include "common/descriptor.hpp"
#include "common/error.hpp"

namespace {

/// Chapter 04's main loop, without everything about echoing.
class Loop {
public:
    void add_reader(int fd, std::function<void()> callback) {
        readers_[fd] = {fd, std::move(callback)};
        epoll_.add(fd, EPOLLIN, &readers_[fd]);
    }

    void remove_reader(int fd) {
        epoll_.remove(fd);
        readers_.erase(fd);
    }

    void run() {
        while (!readers_.empty()) {
            std::vector<int> ready;
            for (const epoll_event& event :
                 epoll_.wait(std::chrono::milliseconds(-1))) {
                ready.push_back(static_cast<const Reader*>(event.data.ptr)->fd);
            }
            for (const int fd : ready) {
                const auto found = readers_.find(fd);
                // It was removed by a callback of this batch.
                if (found == readers_.end()) continue;
                const std::function<void()> callback = found->second.callback;
                callback();
            }
        }
    }

private:
    struct Reader {
        int fd;
        std::function<void()> callback;
    };

    epolling::Epoll epoll_;
    std::unordered_map<int, Reader> readers_;
};

struct Pipe {
    common::Descriptor read_end;
    common::Descriptor write_end;
};

Pipe make_pipe() {
    std::array<int, 2> ends{};
    common::check(pipe2(ends.data(), O_NONBLOCK), "cannot make a pipe");
    return {common::Descriptor(ends[0]), common::Descriptor(ends[1])};
}

void say(const Pipe& pipe, const std::string& text) {
    common::check(
        static_cast<int>(write(pipe.write_end.fd(), text.data(), text.size())),
        "cannot write");
}

/// A reader's callback: reads what is there and removes itself.
void hear(Loop& loop, const char* name, const Pipe& pipe) {
    std::array<char, 100> text{};
    const ssize_t count = read(pipe.read_end.fd(), text.data(), text.size());
    if (count < 0) {
        std::printf("%-4s is called, and there is nothing to read\n", name);
    } else {
        std::printf("%-4s hears: %.*s\n", name, static_cast<int>(count),
                    text.data());
    }
    loop.remove_reader(pipe.read_end.fd());
}

}  // namespace

int main() {
    Loop loop;
    Pipe ann = make_pipe();
    Pipe bob = make_pipe();
    loop.add_reader(ann.read_end.fd(), [&] { hear(loop, "ann", ann); });
    loop.add_reader(bob.read_end.fd(), [&] { hear(loop, "bob", bob); });
    say(ann, "good morning");
    say(bob, "good evening");
    loop.run();

    // Both have something to read, so both are in one batch. Ann's callback is
    // called first and closes Bob's pipe. The kernel gives the lowest free
    // number, Bob's, to Carl's pipe.
    Pipe carl;
    loop.add_reader(ann.read_end.fd(), [&] {
        hear(loop, "ann", ann);
        loop.remove_reader(bob.read_end.fd());
        bob = {};
        carl = make_pipe();
        loop.add_reader(carl.read_end.fd(), [&] { hear(loop, "carl", carl); });
    });
    loop.add_reader(bob.read_end.fd(), [&] { hear(loop, "bob", bob); });
    say(ann, "send bob away");
    say(bob, "I was about to say");
    loop.run();
}
