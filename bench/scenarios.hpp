#pragma once

#include "sampling.hpp"
#include "server.hpp"

#include <optional>
#include <string>
#include <vector>

namespace matview::bench {

/// One comparison of the library with bare libpq.
struct comparison {
  std::string name;                 ///< For Google Benchmark: `refresh/64_in_flight`.
  std::string title;                ///< For people: `64 in flight`.
  std::optional<double> goal = {};  ///< The ratio to bare libpq that is promised.
  samples library = {};             ///< refresh_matview(), or arefresh_matview().
  samples bare = {};                ///< The statement alone, in its own transaction.
  samples same = {};                ///< What the library sends, but by bare libpq.
};

/// One refresh after the other, the synchronous function against PQexec.
[[nodiscard]] comparison compare_one_at_a_time(const server& on, const one_row_views& views,
                                               bool concurrently, const effort& how_long);

/// So many at once from one thread, each on a view and a connection of its own: coroutines on one
/// io_context against non-blocking libpq on one epoll.
[[nodiscard]] comparison compare_in_flight(const server& on, const one_row_views& views,
                                           std::size_t in_flight, const effort& how_long);

}  // namespace matview::bench
