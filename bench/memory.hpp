#pragma once

#include "server.hpp"

#include <cstdint>

namespace matview::bench {

/// Bytes of heap for one of 64 refreshes that are in flight together.
struct memory_use {
  std::int64_t library;       ///< All of it: connections, pool, io_context, coroutines, results.
  std::int64_t bare;          ///< All that bare libpq takes for the same number of statements.
  std::int64_t library_idle;  ///< As `library`, between two flights.
  std::int64_t bare_idle;

  [[nodiscard]] std::int64_t beyond_libpq() const noexcept { return library - bare; }
};

/// Counts every allocation from before the first connection on; the figures are the peak of a
/// flight after a warm-up. That all 64 are in flight at one time is made sure of: they wait in the
/// server for a lock, and go on when the server has seen 64 of them wait.
[[nodiscard]] memory_use measure_memory(const server& on, const one_row_views& views);

}  // namespace matview::bench
