// Exercise 07.4: the box office, and a race without threads.
#include <doctest/doctest.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "chapters/07-simulated-clock/event_loop.hpp"
#include "chapters/07-simulated-clock/exercises/box_office.hpp"
#include "tests/07-simulated-clock/tools.hpp"

namespace {

using simulated::BoxOffice;
using tools::EventLoop;
using tools::Log;
using tools::Task;
using tools::Time;

/// Pays in three ticks, if the bank is willing.
Task<> pay(EventLoop& loop, int& paid, bool covered) {
    co_await loop.async_sleep(3);
    if (!covered) throw std::runtime_error("declined");
    ++paid;
}

/// A night at the opera, with one ticket left.
struct Night {
    EventLoop loop;
    BoxOffice office{1};
    Log log;
    int paid = 0;

    /// Comes at `arrival`, buys, and logs how that went.
    Task<> customer(std::string name, Time arrival, bool covered = true) {
        co_await loop.async_sleep(arrival);
        try {
            const bool sold = co_await office.sell(pay(loop, paid, covered));
            log.add(name + (sold ? ":ticket" : ":none"));
        } catch (const std::runtime_error& error) {
            log.add(name + ":" + error.what());
        }
    }

    void add(std::string name, Time arrival, bool covered = true) {
        loop.add_task(name, customer(name, arrival, covered));
    }

    [[nodiscard]] int sold() const {
        int count = 0;
        for (std::size_t at = 0; (at = log.text().find(":ticket", at)) != std::string::npos; ++at) {
            ++count;
        }
        return count;
    }
};

TEST_CASE("07.4 one ticket is sold once, however many pay at the same time") {
    Night night;
    INFO("there was one ticket. Anna came at 0, and paid from 0 to 3; Bert came at 1");
    night.add("Anna", 0);
    night.add("Bert", 1);
    night.loop.run();
    CHECK_MESSAGE(night.sold() == 1, "one of them should have got it; it was sold ", night.sold(),
                  " times. While Anna pays, Bert runs, and sees what she has seen. What was "
                  "checked before a co_await need not hold after it");
    CHECK_MESSAGE(night.office.left() == 0, "then none should be left; left() says ",
                  night.office.left());
}

TEST_CASE("07.4 who gets no ticket has not paid") {
    Night night;
    INFO("there was one ticket, and three customers came at the same time");
    for (const char* name : {"Anna", "Bert", "Cleo"}) night.add(name, 0);
    night.loop.run();
    CHECK_MESSAGE(night.paid == 1, "one of them should have paid; ", night.paid, " did, and ",
                  night.sold(),
                  " got a ticket. The ticket must be somebody's before its payment starts");
    CHECK_MESSAGE(night.log.text() == "Bert:none Cleo:none Anna:ticket",
                  "Bert and Cleo should be told at once, and Anna get the ticket; it was ",
                  night.log.text());
}

TEST_CASE("07.4 a payment that fails leaves the ticket to the next customer") {
    Night night;
    INFO(
        "there was one ticket. Anna came at 0, and at 3 her payment was declined; at 4 came Bert, "
        "at 5 Cleo");
    night.add("Anna", 0, false);
    night.add("Bert", 4);
    night.add("Cleo", 5);
    night.loop.run();
    CHECK_MESSAGE(night.log.text() == "Anna:declined Cleo:none Bert:ticket",
                  "Anna should be told that she was declined, Bert get the ticket, and Cleo none; "
                  "it was ",
                  night.log.text(),
                  ". What was taken before the co_await goes back if "
                  "it throws");
}

TEST_CASE("07.4 a customer who is destroyed while paying leaves the ticket to the next one") {
    Night night;
    INFO(
        "there was one ticket. Anna came at 0, and her task was destroyed while she paid; at 4 "
        "came Bert, at 5 Cleo");
    std::optional<Task<>> anna = night.customer("Anna", 0);
    anna->start();
    auto destroy = [](EventLoop& loop, auto& task) -> Task<> {
        co_await loop.async_sleep(2);
        task.reset();
    };
    night.loop.add_task("destroy", destroy(night.loop, anna));
    night.add("Bert", 4);
    night.add("Cleo", 5);
    night.loop.run();
    CHECK_MESSAGE(night.log.text() == "Cleo:none Bert:ticket",
                  "Bert should get the ticket, and Cleo none; it was ", night.log.text(),
                  ". A task that is destroyed is not resumed: no line below the co_await runs, no "
                  "catch either. Destructors do");
}

}  // namespace
