// How the tests of exercise 02.1 name a client's state.
#pragma once

#include <doctest/doctest.h>

#include <string>

#include "chapters/02-polling/client.hpp"

namespace support {

inline std::string state_of(const polling::Client& client) {
    switch (client.state()) {
        case polling::Client::State::reading:
            return "reading";
        case polling::Client::State::writing:
            return "writing";
        case polling::Client::State::finished:
            return "finished";
    }
    return "none of the three";
}

/// Fails the test if the client is in another state; `why` says what has led to the right one.
inline void expect_state(const polling::Client& client, const std::string& state,
                         const std::string& why) {
    const std::string now = state_of(client);
    CHECK_MESSAGE(now == state, "the client's state should be \"", state, "\": ", why, ". It is \"",
                  now, "\" (docs/02-polling.md, step 4)");
}

}  // namespace support
