// Exercise 07.4: what was true before a co_await is only a memory after it.
#pragma once

#include <utility>

#include "chapters/07-simulated-clock/task.hpp"

namespace simulated {

/// Sells tickets, to many customers at the same time: while one pays, the next
/// one comes.
class BoxOffice {
public:
    /// Has `tickets` to sell. It must outlive every sale.
    explicit BoxOffice(int tickets) : left_(tickets) {}

    /// How many tickets nobody has got, and nobody is paying for.
    [[nodiscard]] int left() const { return left_; }

    /// Sells a ticket: awaits `payment`, which takes its time. Returns whether
    /// the customer has got one. Nobody pays in vain: where none is left,
    /// `payment` is not even started. A ticket that was not paid for in the end
    /// is on sale again: `payment` fails (its exception is thrown), or the
    /// customer has gone (this task is destroyed while it waits).
    Task<bool> sell(Task<> payment) {
        if (left_ == 0) co_return false;
        Reservation reservation(left_);
        co_await std::move(payment);
        reservation.keep();
        co_return true;
    }

private:
    // EXERCISE 07.4
    /// Takes a ticket off the shelf, and puts it back at its end, unless it was
    /// kept.
    class Reservation {
    public:
        explicit Reservation(int& left) : left_(left) { --left_; }
        Reservation(const Reservation&) = delete;
        Reservation& operator=(const Reservation&) = delete;
        ~Reservation() {
            if (!kept_) ++left_;
        }

        void keep() { kept_ = true; }

    private:
        int& left_;
        bool kept_ = false;
    };

    // END 07.4
    int left_;
};

}  // namespace simulated
