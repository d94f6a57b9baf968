#pragma once

#include "incremental_views.hpp"

#include <string>
#include <vector>

namespace matview::bench {

/// Ways to bring the same query up to date, in the order of the table.
enum class method {
  changes,       ///< matview.refresh(..., 'auto') of an incremental view.
  refresh,       ///< REFRESH MATERIALIZED VIEW.
  concurrently,  ///< REFRESH MATERIALIZED VIEW CONCURRENTLY.
  diff,          ///< matview.refresh(..., 'diff'): filled anew, readers do not wait.
  swap,          ///< matview.refresh(..., 'swap'): filled anew, readers wait at the end.
};
inline constexpr std::size_t methods = 5;

/// One view at one share of changed rows; a number for each round.
struct cell {
  const bench_query* view = nullptr;
  double percent = 0;
  long changed = 0;                           ///< Rows of the log that the refresh had to take in.
  std::vector<double> seconds[methods] = {};  ///< Empty: that method does not exist for the view.
  std::vector<double> wal[methods] = {};      ///< Bytes.
  std::string modes = {};  ///< What auto did: one letter a round, of incremental, full, diff.

  [[nodiscard]] double median_ms(method of) const;
  /// The median over the rounds of `a` / `b`; 0 if there is none.
  [[nodiscard]] double ratio_of(method a, method b) const;
};

/// What a view and its capture take beside a materialized view with a unique index.
struct overhead {
  const bench_query* view = nullptr;
  double storage = 0;          ///< Bytes, with indexes.
  double native = 0;           ///< Bytes, with indexes.
  double log_bytes_a_row = 0;  ///< Of all its logs, with indexes.
  double noop_ms = 0;          ///< Refresh in SQL when nothing has changed.
  double noop_library_ms = 0;  ///< The same by refresh_matview().
};

struct cells_wanted {
  std::string conninfo;
  std::string schema;
  data_set set;
  long rows;  ///< Of the table that is changed.
  std::vector<double> percents;
  std::size_t rounds;
  std::vector<std::string> only = {};  ///< Names of views; empty: all of the set.
  bool plain_too = true;               ///< Whether REFRESH and the others are measured beside.
};

struct cells_seen {
  std::vector<cell> cells;
  std::vector<overhead> overheads;
};

/// Makes the views of a set in five forms, changes the tables for each share and round, and brings
/// all forms up to date in an order drawn anew. After each change it compares the incremental
/// views with their queries, as multisets. The views are dropped at the end.
/// @throws std::runtime_error if a view differs from its query.
[[nodiscard]] cells_seen measure_cells(const cells_wanted& what);

}  // namespace matview::bench
