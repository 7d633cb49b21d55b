// Exercise 07.4: what was true before a co_await may be false after it.
#pragma once

#include <utility>

#include "chapters/07-simulated-clock/task.hpp"

namespace simulated {

/// Sells tickets to many customers concurrently: while one pays, the next one
/// arrives.
class BoxOffice {
public:
    /// `tickets` is how many there are to sell. The box office must outlive
    /// every sale.
    explicit BoxOffice(int tickets) : left_(tickets) {}

    /// Returns how many tickets are neither sold nor reserved by a payment in
    /// progress.
    [[nodiscard]] int left() const { return left_; }

    /// Sells a ticket: awaits `payment`, which takes some time, and returns
    /// whether the customer got one. If none is left, `payment` is not even
    /// started. If the payment does not complete, the ticket is on sale again:
    /// when `payment` fails (its exception is thrown), and when the customer
    /// leaves (this task is destroyed while it waits).
    Task<bool> sell(Task<> payment) {
        if (left_ == 0) co_return false;
        Reservation reservation(left_);
        co_await std::move(payment);
        reservation.keep();
        co_return true;
    }

private:
    // EXERCISE 07.4
    /// Reserves a ticket. The destructor returns it, unless keep() was called.
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
