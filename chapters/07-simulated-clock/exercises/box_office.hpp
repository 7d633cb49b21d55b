// Exercise 07.4: what was true before a co_await is only a memory after it.
#pragma once

#include <utility>

#include "chapters/07-simulated-clock/task.hpp"

namespace simulated {

/// Sells tickets, to many customers at the same time: while one pays, the next one comes.
class BoxOffice {
public:
    /// Has `tickets` to sell. It must outlive every sale.
    explicit BoxOffice(int tickets) : left_(tickets) {}

    /// How many tickets nobody has got, and nobody is paying for.
    [[nodiscard]] int left() const { return left_; }

    /// Sells a ticket: awaits `payment`, which takes its time. Returns whether the customer has got
    /// one. Nobody pays in vain: where none is left, `payment` is not even started. A ticket that
    /// was not paid for in the end is on sale again: `payment` fails (its exception is thrown), or
    /// the customer has gone (this task is destroyed while it waits).
    Task<bool> sell(Task<> payment) {
        // EXERCISE BEGIN 07.4 repair the box office that sells the same ticket twice
        // HINT Let two customers come for the last ticket, and say aloud who runs when. What does
        // HINT+ the second one see in left_, while the first one pays?
        // HINT Looking again after the payment is too late: the customer has paid. Take the ticket
        // HINT+ before you wait. Then think of every way out of the co_await.
        // HINT There are three: it goes on, it throws, or it is never resumed and the frame is
        // HINT+ destroyed. Only one thing runs in all three of them: the destructor of a variable.
        // BROKEN if (left_ == 0) co_return false;
        // BROKEN co_await std::move(payment);
        // BROKEN --left_;
        // BROKEN co_return true;
        if (left_ == 0) co_return false;
        Reservation reservation(left_);
        co_await std::move(payment);
        reservation.keep();
        co_return true;
        // EXERCISE END 07.4
    }

private:
    // EXERCISE BEGIN 07.4 repair the box office that sells the same ticket twice
    // BROKEN // There is room here for a class of yours.
    /// Takes a ticket off the shelf, and puts it back at its end, unless it was kept.
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

    // EXERCISE END 07.4
    int left_;
};

}  // namespace simulated
