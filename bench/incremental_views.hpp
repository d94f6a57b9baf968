#pragma once

#include "incremental_data.hpp"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace matview::bench {

/// A query, and what the design's study measured of it.
struct bench_query {
  std::string name;
  data_set of;
  std::string sql;  ///< {0} is the schema of the tables.
  std::string key;  ///< Of its rows: REFRESH CONCURRENTLY needs it.
  /// REFRESH / refresh by changes at a share of changed rows in percent: the least to be reached.
  std::map<double, double> goals;
  std::optional<double> concurrently_goal = {};  ///< The same to CONCURRENTLY, at 0.1 %.
  bool rebuild_goal = false;  ///< Whether the keyed diff has to be 3 times as fast.
};

[[nodiscard]] const std::vector<bench_query>& bench_queries();

/// The goal for shares of up to 10 %: not slower than REFRESH.
inline constexpr double never_slower = 1.0;

}  // namespace matview::bench
