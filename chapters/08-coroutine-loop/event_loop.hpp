// The event loop for coroutines: chapter 07's tasks, on chapter 04's epoll.
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>

#include "chapters/04-epoll/epoll.hpp"
#include "chapters/05-callback-loop/clock.hpp"
#include "chapters/07-simulated-clock/frame_pool.hpp"
#include "chapters/07-simulated-clock/task.hpp"
#include "chapters/07-simulated-clock/task_errors.hpp"
#include "chapters/07-simulated-clock/wait_list.hpp"
#include "chapters/08-coroutine-loop/sleep_queue.hpp"

namespace coroutines {

using callbacks::Clock;
using callbacks::Duration;
using simulated::Deadlock;
using simulated::Task;
using simulated::Waiter;
using simulated::WaitList;

/// What the kernel's events are for: the tag of a descriptor on epoll's list.
class EventSource {
public:
    virtual ~EventSource() = default;

    /// `events` (EPOLLIN...) happened. Nobody is resumed by this, only made
    /// ready.
    virtual void happened(std::uint32_t events) noexcept = 0;
};

/// Something that a coroutine waits for, and that is tried again when its
/// descriptor is ready.
class Operation : public Waiter {
public:
    virtual ~Operation() = default;

    /// Tries it, without waiting. False: not yet (EAGAIN).
    virtual bool attempt() noexcept = 0;

    /// Tried in vain: waits for the descriptor to be ready.
    virtual void wait_for_readiness() noexcept = 0;
};

/// Runs tasks on one thread. Each turn wakes the sleepers whose time has come,
/// asks the kernel who is ready, and then resumes them, once each.
///
/// Whatever waits, waits in an object inside its own coroutine's frame: an
/// awaiter. Destroying the coroutine destroys the awaiter, which takes itself
/// out of the queue it stands in: that is all there is to cancellation. The
/// loop must outlive everything that waits in it.
class EventLoop {
public:
    /// What to do with an exception that left a spawned task. Must not throw.
    using ErrorHandler =
        std::function<void(const std::string& task, std::exception_ptr error)>;

    /// `clock` is not owned.
    explicit EventLoop(Clock& clock = callbacks::steady_clock(),
                       ErrorHandler on_error = simulated::print_error)
        : clock_(clock), on_error_(std::move(on_error)) {}

    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;

    /// Destroys the spawned tasks that are not finished, wherever they wait.
    /// Not from inside one of them: that ends the program, with a line on
    /// stderr.
    ~EventLoop() {
        if (running_) give_up("a task destroys the event loop that runs it");
        // What a task owns may cancel another one while it is destroyed.
        while (!cancelled_.empty() || !tasks_.empty()) {
            destroy_all(cancelled_);
            destroy_all(tasks_);
        }
    }

    class Spawned;

    /// Takes over `task`, which starts in the next turn. Nobody awaits it: an
    /// exception that leaves it is reported, with `name`, and ends only this
    /// task.
    Spawned spawn(std::string name, Task<> task);

    /// Turns until every spawned task is finished, or until stop(). Throws
    /// Deadlock when some are left that nothing can wake, and std::logic_error
    /// when a task of this loop calls it.
    void run() {
        if (running_)
            throw std::logic_error("a task runs the event loop that runs it");
        const Flag running(running_);
        stopped_ = false;
        while (!stopped_) {
            destroy_all(cancelled_);
            if (tasks_.empty()) return;
            turn();
        }
    }

    /// run() returns when the task that runs now suspends. What was not
    /// finished stays as it is: the next run() goes on with it, the destructor
    /// destroys it.
    void stop() { stopped_ = true; }

    [[nodiscard]] TimePoint now() const { return clock_.now(); }

    /// `co_await loop.sleep_for(delay)` goes on when `delay` has passed, never
    /// earlier. Zero (or less) lets all others that are ready go first.
    class Sleep;
    Sleep sleep_for(Duration delay);

    class Readiness;

    /// `co_await loop.readable(fd)` goes on when a read from `fd` would not
    /// wait: there is data, the end of input, or an error. Registers `fd` for
    /// this one time, so it suits what happens seldom (a listener, a signal); a
    /// Socket is registered once for all its reads and writes. `fd` must stay
    /// open until then. Throws std::system_error (EEXIST: somebody waits for
    /// `fd` already; EPERM: a disk file).
    Readiness readable(int fd);

    /// The same for writing: there is room, or an error.
    Readiness writable(int fd);

    // --- For awaiters ---

    /// `waiter`, which stands in no queue, is resumed in this turn or the next.
    void schedule(Waiter& waiter) noexcept { ready_.push_back(waiter); }

    /// `operation` is tried in the next turn, when others have had theirs.
    void try_later(Operation& operation) noexcept {
        later_.push_back(operation);
    }

    /// May the running coroutine go on without waiting? Asked before each
    /// operation that would not have to. After a number of yeses it is no:
    /// somebody whose descriptor is always ready (a client that sends without
    /// end) would otherwise never let go of the thread.
    bool may_go_on() noexcept { return budget_-- > 0; }

    epolling::Epoll& epoll() { return epoll_; }

    /// Counts those who wait for a descriptor: there are events to come as long
    /// as there are some.
    void watch(int change) noexcept { watching_ += change; }

    // --- For looking on ---

    /// How many coroutines wait for a descriptor, and how many for a time.
    [[nodiscard]] int watching() const { return watching_; }
    [[nodiscard]] std::size_t sleeping() const { return sleepers_.size(); }

private:
    /// The coroutine around each spawned task. It stands in tasks_, and at its
    /// end it frees its own frame (final_suspend does not suspend).
    struct Root {
        struct promise_type : Waiter, simulated::PooledFrame {
            promise_type(EventLoop& owner, std::string& task_name,
                         Task<>& /*task*/)
                : loop(owner), name(std::move(task_name)) {
                coroutine =
                    std::coroutine_handle<promise_type>::from_promise(*this);
                start.coroutine = coroutine;
            }
            ~promise_type();
            promise_type(const promise_type&) = delete;
            promise_type& operator=(const promise_type&) = delete;

            Root get_return_object() { return {*this}; }
            [[nodiscard]] std::suspend_always initial_suspend() const noexcept {
                return {};
            }
            [[nodiscard]] std::suspend_never final_suspend() const noexcept {
                return {};
            }
            void return_void() const noexcept {}
            void unhandled_exception() const noexcept {
                loop.on_error_(name, std::current_exception());
            }

            EventLoop& loop;
            std::string name;
            // Its place in ready_ until it starts
            Waiter start;
            Spawned* handle = nullptr;
        };

        promise_type& promise;
    };

    static Root own(EventLoop& /*loop*/, std::string /*name*/, Task<> task) {
        co_await std::move(task);
    }

    /// Set for as long as it lives.
    class Flag {
    public:
        explicit Flag(bool& flag) : flag_(flag) { flag_ = true; }
        Flag(const Flag&) = delete;
        Flag& operator=(const Flag&) = delete;
        ~Flag() { flag_ = false; }

    private:
        bool& flag_;
    };

    void turn() {
        wake_sleepers();
        ask_kernel();
        resume_ready();
    }

    void wake_sleepers() {
        if (sleepers_.empty()) return;
        const TimePoint time = now();
        while (!sleepers_.empty() && sleepers_.next_deadline() <= time) {
            ready_.push_back(sleepers_.pop());
        }
    }

    /// The only place where the loop sleeps. The whole batch of events is
    /// turned into ready coroutines before anybody is resumed: whoever is
    /// resumed may destroy what an event names.
    void ask_kernel() {
        const TimePoint next = next_deadline();
        const auto events = epoll_.wait(clock_.poll_timeout(next));
        if (events.empty()) clock_.advance_to(next);
        for (const epoll_event& event : events) {
            static_cast<EventSource*>(event.data.ptr)->happened(event.events);
        }
        while (!later_.empty()) {
            auto& operation = static_cast<Operation&>(later_.pop_front());
            if (operation.attempt()) {
                schedule(operation);
            } else {
                operation.wait_for_readiness();
            }
        }
    }

    [[nodiscard]] TimePoint next_deadline() const {
        if (!ready_.empty() || !later_.empty()) return callbacks::no_wait;
        if (!sleepers_.empty()) return sleepers_.next_deadline();
        if (watching_ == 0)
            throw Deadlock(
                "deadlock: nothing can wake " +
                simulated::pending_task_names<Root::promise_type>(tasks_));
        return callbacks::no_deadline;
    }

    /// Those who are ready now, not those who become ready meanwhile: they have
    /// their turn after the kernel has been asked again.
    void resume_ready() {
        Waiter end;
        ready_.push_back(end);
        while (&ready_.front() != &end && !stopped_) {
            budget_ = operations_in_a_row;
            ready_.pop_front().coroutine.resume();
        }
    }

    static void destroy_all(WaitList& tasks) {
        while (!tasks.empty()) tasks.front().coroutine.destroy();
    }

    [[noreturn]] static void give_up(const char* why) {
        std::fprintf(stderr, "coroutines::EventLoop: %s\n", why);
        std::abort();
    }

    static constexpr int operations_in_a_row = 32;

    Clock& clock_;
    ErrorHandler on_error_;
    epolling::Epoll epoll_;
    SleepQueue sleepers_;
    // To be resumed
    WaitList ready_;
    // Operations to be tried again in the next turn
    WaitList later_;
    // Spawned, not finished, not cancelled
    WaitList tasks_;
    // Spawned, to be destroyed in the next turn
    WaitList cancelled_;
    int watching_ = 0;
    int budget_ = 0;
    bool running_ = false;
    bool stopped_ = false;
};

/// What spawn() returns: a name for the task, which may be finished long since.
/// Not its owner: to destroy this changes nothing.
class EventLoop::Spawned {
public:
    explicit Spawned(Root::promise_type& root) : root_(&root) {
        root.handle = this;
    }

    Spawned(Spawned&& other) noexcept
        : root_(std::exchange(other.root_, nullptr)) {
        if (root_ != nullptr) root_->handle = this;
    }
    Spawned& operator=(Spawned&& other) noexcept {
        if (this == &other) return *this;
        forget();
        root_ = std::exchange(other.root_, nullptr);
        if (root_ != nullptr) root_->handle = this;
        return *this;
    }
    ~Spawned() { forget(); }

    /// Has it come to its end, or been destroyed?
    [[nodiscard]] bool done() const { return root_ == nullptr; }

    /// The task is destroyed in the next turn, wherever it waits then. Not at
    /// once, so that a task can do this to itself. Does nothing for a task that
    /// is done.
    void cancel() noexcept {
        if (root_ == nullptr) return;
        root_->unlink();
        root_->loop.cancelled_.push_back(*root_);
    }

private:
    friend struct Root;

    void forget() noexcept {
        if (root_ != nullptr) root_->handle = nullptr;
    }

    Root::promise_type* root_;
};

inline EventLoop::Root::promise_type::~promise_type() {
    if (handle != nullptr) handle->root_ = nullptr;
}

inline EventLoop::Spawned EventLoop::spawn(std::string name, Task<> task) {
    Root::promise_type& root =
        own(*this, std::move(name), std::move(task)).promise;
    tasks_.push_back(root);
    schedule(root.start);
    return Spawned(root);
}

/// The awaiter of sleep_for(): the coroutine's place among the sleepers.
class [[nodiscard]] EventLoop::Sleep : Sleeper {
public:
    Sleep(EventLoop& loop, Duration delay) : loop_(loop), delay_(delay) {}
    Sleep(const Sleep&) = delete;
    Sleep& operator=(const Sleep&) = delete;

    ~Sleep() { loop_.sleepers_.remove(*this); }

    [[nodiscard]] bool await_ready() const noexcept { return false; }

    void await_suspend(std::coroutine_handle<> awaiting) {
        coroutine = awaiting;
        const TimePoint now = loop_.now();
        const TimePoint due =
            delay_ < TimePoint::max() - now ? now + delay_ : TimePoint::max();
        loop_.sleepers_.push(*this, due);
    }

    void await_resume() const noexcept {}

private:
    EventLoop& loop_;
    Duration delay_;
};

inline EventLoop::Sleep EventLoop::sleep_for(Duration delay) {
    return {*this, delay};
}

/// The awaiter of readable() and writable(): on epoll's list while the
/// coroutine waits.
class [[nodiscard]] EventLoop::Readiness : Waiter, EventSource {
public:
    Readiness(EventLoop& loop, int fd, std::uint32_t events)
        : loop_(loop), fd_(fd), events_(events) {}
    Readiness(const Readiness&) = delete;
    Readiness& operator=(const Readiness&) = delete;

    ~Readiness() override { unregister(); }

    [[nodiscard]] bool await_ready() const noexcept { return false; }

    void await_suspend(std::coroutine_handle<> awaiting) {
        coroutine = awaiting;
        // One event is all we want: the kernel must not repeat it before the
        // coroutine has had its turn.
        loop_.epoll_.add(fd_, events_ | EPOLLONESHOT,
                         static_cast<EventSource*>(this));
        registered_ = true;
        loop_.watch(+1);
    }

    void await_resume() noexcept { unregister(); }

private:
    void happened(std::uint32_t /*events*/) noexcept override {
        loop_.schedule(*this);
    }

    void unregister() noexcept {
        if (!std::exchange(registered_, false)) return;
        loop_.epoll_.remove(fd_);
        loop_.watch(-1);
    }

    EventLoop& loop_;
    int fd_;
    std::uint32_t events_;
    bool registered_ = false;
};

inline EventLoop::Readiness EventLoop::readable(int fd) {
    return {*this, fd, EPOLLIN};
}
inline EventLoop::Readiness EventLoop::writable(int fd) {
    return {*this, fd, EPOLLOUT};
}

}  // namespace coroutines
