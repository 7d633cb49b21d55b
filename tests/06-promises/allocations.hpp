// How much of the free store this test program has asked for. memory_test.cpp counts.
#pragma once

namespace allocations {

/// Blocks that were allocated since the start.
long made();

/// Blocks that have not been freed yet.
long alive();

}  // namespace allocations
