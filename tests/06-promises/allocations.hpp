// How many blocks this test program has allocated. memory_test.cpp counts them.
#pragma once

namespace allocations {

/// Blocks that were allocated since the start.
long made();

/// Blocks that have not been freed yet.
long alive();

}  // namespace allocations
