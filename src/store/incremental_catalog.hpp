#pragma once

#include "pg/connection.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace matview::store {

// How incremental views stand: what status and the doctor tell of them. Reads only: a standby can
// be asked.

/// `sql` with {is_incremental}, {is_helper}, {storage_of} and {definition_of} written out: see
/// incremental.hpp. Pure.
[[nodiscard]] std::string with_incremental(std::string_view sql);

/// A row of matview.incremental against the catalog and its logs.
struct incremental_state {
  int id = 0;
  std::optional<std::int64_t> view = {};  ///< Its oid; unset if it is gone.
  std::string quoted = {};                ///< `schema.view`, quoted where SQL needs it.
  bool being_made = false;                ///< It has not got its user's name yet.
  bool cut_off = false;                   ///< And its making began over an hour ago.
  bool has_definition = true;
  bool filled = false;
  std::string detached = {};  ///< Why changes are not kept for it any more, or empty.
  std::string fault = {};     ///< matview.capture_fault(), or empty.
  bool fits = true;           ///< What was captured is all that has happened since it was filled.
  std::int64_t log_limit = 0;
  std::optional<std::chrono::seconds> since_refresh = {};  ///< Since one that changed something.
  std::int64_t changed = 0;     ///< Rows in its logs that it has not taken in: at most `most`.
  bool more = false;            ///< There are more than that.
  std::string changed_in = {};  ///< The table with most of them, or that was truncated.
  bool truncated = false;
  bool logs_unreadable = false;  ///< Of one at least.
  std::string storage = {};      ///< The table that it reads, for SQL.
  bool shows_storage = true;     ///< False: somebody has given the view another query.
  bool by_invoker = false;       ///< It reads with the rights of who reads it.
  bool lost_log = false;         ///< A log of its tables was dropped.
  /// The role, for SQL, because of whose rights all fail who write into one of its tables.
  std::string barred_writer = {};
  std::string shut_out = {};  ///< Its owner, for SQL, if that role may not read the storage.
};

/// What can be known of incremental views.
struct incremental_states {
  bool there = false;        ///< The database can have such views.
  std::string unknown = {};  ///< Why nothing is known of them, as a sentence, or empty.
  std::vector<incremental_state> views = {};
};

/// Of the views with these oids, or of all that there are. A failure to read is `unknown`; in a
/// caller's own transaction it does no harm.
/// @param most  how many rows of a log are counted at most.
asio::awaitable<incremental_states> read_incremental(pg::connection& on,
                                                     const std::vector<std::int64_t>& views,
                                                     bool all, std::int64_t most);

}  // namespace matview::store
