// The options of the servers that have timers.
#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "common/command_line.hpp"
#include "common/service_options.hpp"

namespace {

using common::ServiceOptions;
using namespace std::chrono_literals;

ServiceOptions parse(const std::vector<std::string_view>& arguments) {
    ServiceOptions options;
    common::parse(arguments,
                  {common::idle_timeout_option(options), common::reply_delay_option(options)});
    return options;
}

}  // namespace

TEST_SUITE("service options") {
    TEST_CASE("without options, both are off") {
        CHECK(parse({}).idle_timeout == 0ns);
        CHECK(parse({}).reply_delay == 0ns);
    }

    TEST_CASE("an idle timeout is a number of seconds, a reply delay of milliseconds") {
        CHECK(parse({"--idle-timeout", "2"}).idle_timeout == 2s);
        CHECK(parse({"--idle-timeout=0.5"}).idle_timeout == 500ms);
        CHECK(parse({"--idle-timeout", "1000000000"}).idle_timeout == 1'000'000'000s);
        CHECK(parse({"--reply-delay", "2"}).reply_delay == 2ms);
        CHECK(parse({"--reply-delay", "0.25"}).reply_delay == 250us);
    }

    TEST_CASE("only 0 is off: the shortest time is a nanosecond") {
        CHECK(parse({"--idle-timeout", "0"}).idle_timeout == 0ns);
        CHECK(parse({"--idle-timeout", "0.0000000001"}).idle_timeout == 1ns);
        CHECK(parse({"--reply-delay", "0.0000000001"}).reply_delay == 1ns);
    }

    TEST_CASE("an error names the value and the range") {
        for (const std::string bad : {"", "-1", "-0.5", "1e9", "nan", "inf", "2s", " 2", "+2",
                                      "0x2", "1000000001", "99999999999999999999", "."}) {
            INFO("--idle-timeout \"", bad, "\"");
            CHECK_THROWS_WITH_AS(parse({"--idle-timeout", bad}),
                                 ("bad idle timeout: \"" + bad +
                                  "\" is not a number of seconds from 0 to 1000000000")
                                     .c_str(),
                                 common::UsageError);
            CHECK_THROWS_AS(parse({"--reply-delay", bad}), common::UsageError);
        }
    }
}
