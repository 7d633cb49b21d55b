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

/// Pays, in three ticks. Throws if the account is not covered.
Task<> pay(EventLoop& loop, int& paid, bool covered) {
    co_await loop.async_sleep(3);
    if (!covered) throw std::runtime_error("declined");
    ++paid;
}

/// An evening with one ticket left.
struct Night {
    EventLoop loop;
    BoxOffice office{1};
    Log log;
    int paid = 0;

    /// Arrives at `arrival`, buys, and logs the outcome.
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

TEST_CASE("07.4 one ticket is sold once, however many customers pay at the same time") {
    Night night;
    INFO("there was one ticket. Ann came at 0, and paid from 0 to 3; Bob came at 1");
    night.add("Ann", 0);
    night.add("Bob", 1);
    night.loop.run();
    CHECK_MESSAGE(night.sold() == 1, "one of them should have got it; it was sold ", night.sold(),
                  " times. While Ann pays, Bob runs and sees the same ticket. What was "
                  "true before a co_await may be false after it");
    CHECK_MESSAGE(night.office.left() == 0, "then none should be left; left() says ",
                  night.office.left());
}

TEST_CASE("07.4 a customer without a ticket has not paid") {
    Night night;
    INFO("there was one ticket, and three customers came at the same time");
    for (const char* name : {"Ann", "Bob", "Carl"}) night.add(name, 0);
    night.loop.run();
    CHECK_MESSAGE(night.paid == 1, "one of them should have paid; ", night.paid, " did, and ",
                  night.sold(),
                  " got a ticket. The ticket must be reserved before its payment starts");
    CHECK_MESSAGE(night.log.text() == "Bob:none Carl:none Ann:ticket",
                  "Bob and Carl should be told at once, and Ann get the ticket; it was ",
                  night.log.text());
}

TEST_CASE("07.4 a payment that fails leaves the ticket to the next customer") {
    Night night;
    INFO(
        "there was one ticket. Ann came at 0, and at 3 her payment was declined; at 4 came Bob, "
        "at 5 Carl");
    night.add("Ann", 0, false);
    night.add("Bob", 4);
    night.add("Carl", 5);
    night.loop.run();
    CHECK_MESSAGE(night.log.text() == "Ann:declined Carl:none Bob:ticket",
                  "Ann should be told that she was declined, Bob get the ticket, and Carl none; "
                  "it was ",
                  night.log.text(),
                  ". A ticket taken before the co_await must go back if it throws");
}

TEST_CASE("07.4 a customer's task destroyed while paying leaves the ticket to the next one") {
    Night night;
    INFO(
        "there was one ticket. Ann came at 0, and her task was destroyed while she paid; at 4 "
        "came Bob, at 5 Carl");
    std::optional<Task<>> ann = night.customer("Ann", 0);
    ann->start();
    auto destroy = [](EventLoop& loop, auto& task) -> Task<> {
        co_await loop.async_sleep(2);
        task.reset();
    };
    night.loop.add_task("destroy", destroy(night.loop, ann));
    night.add("Bob", 4);
    night.add("Carl", 5);
    night.loop.run();
    CHECK_MESSAGE(night.log.text() == "Carl:none Bob:ticket",
                  "Bob should get the ticket, and Carl none; it was ", night.log.text(),
                  ". A destroyed task is not resumed: neither the lines below the co_await nor a "
                  "catch block run. Destructors do");
}

}  // namespace
