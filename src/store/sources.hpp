#pragma once

#include "pg/connection.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace matview::store {

// What a materialized view is made from, as far as counters and file numbers tell whether it has
// changed: no trigger, no lock, nothing in the way of writers.
//
// The marks of a table are its file (TRUNCATE and every rewrite give it a new one) and the server's
// counts of rows inserted, updated and deleted. They count what was rolled back, too, so that a
// change may be seen where there is none. They may not count yet what a session committed in the
// last seconds: see docs/refresh.md. Anything that cannot be known this way is told as `unknown`.

/// One relation that rows come from.
struct source_mark {
  std::string name;  ///< As SQL takes it.
  std::string mark;  ///< Equal if nothing has changed.
};

/// All that a view's contents come from, at one moment.
struct view_sources {
  std::int64_t view = 0;  ///< Its oid.
  /// Why a change could go unseen, as a sentence's end: `it reads the foreign table f`; or empty.
  std::string unknown = {};
  /// Changes when the marks lose their meaning: statistics reset, a crash, other settings, a query
  /// or function that was replaced.
  std::string ground = {};
  std::vector<source_mark> tables = {};  ///< By oid.
};

/// Of the views with these oids. Reads only; one query.
asio::awaitable<std::vector<view_sources>> read_sources(pg::connection& on,
                                                        const std::vector<std::int64_t>& views);

/// As text that is kept, and back; what cannot be read comes back as unknown. Pure.
[[nodiscard]] std::string to_json(const view_sources& sources);
[[nodiscard]] view_sources sources_from(std::string_view json);

}  // namespace matview::store
