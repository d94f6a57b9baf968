#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace matview::bench {

/// One kind of writing, into a table that nobody looks at and into its twin that an incremental
/// view is made from; a number for each round.
struct writing {
  std::string name;
  bool single_row = false;  ///< The numbers are transactions a second; else seconds.
  std::vector<double> plain = {};
  std::vector<double> captured = {};
  std::vector<double> wal_plain = {};  ///< Bytes a row.
  std::vector<double> wal_captured = {};
  std::optional<double> goal = {};  ///< captured / plain: at least if single_row, else at most.
};

struct writers_wanted {
  std::string conninfo;
  std::string schema;
  long rows;    ///< Of each of the two tables.
  int seconds;  ///< Of one run of pgbench.
  std::size_t rounds;
};

/// Single rows by pgbench, if it is found, with 1 and with 4 clients; then 100,000 rows at once.
/// The twins take turns in each round, each of them first as often as last. The view is compared
/// with its query at the end.
/// @throws std::runtime_error if it differs.
[[nodiscard]] std::vector<writing> measure_writers(const writers_wanted& what);

}  // namespace matview::bench
