#pragma once

#include "pg/connection.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace matview::store {

// What status tells about views, for any number of them at once. Reads only: a standby can be
// asked. Times in microseconds since 1970, lengths in seconds, both by the database's clock.

/// What this role can read of what is remembered.
struct status_access {
  bool standby = false;    ///< The server follows another one, and counts for itself.
  bool schema = false;     ///< Schema matview is there.
  bool history = false;    ///< matview.view and matview.refresh can be read.
  bool schedules = false;  ///< matview.schedule can be read.
};
asio::awaitable<status_access> read_status_access(pg::connection& on);

/// What the session means by a name.
struct named_relation {
  std::optional<std::int64_t> oid = {};  ///< Unset: there is none.
  char kind = 'm';                       ///< pg_class.relkind.
  bool incremental = false;              ///< An incremental view of this library.
  std::string quoted = {};               ///< `schema.view`, quoted where SQL needs it.
};

/// Of each of the names, which are quoted, in their order.
asio::awaitable<std::vector<named_relation>> find_relations(pg::connection& on,
                                                            const std::vector<std::string>& quoted);

/// What the catalog and the locks say of a view.
struct status_facts {
  std::int64_t oid = 0;
  std::string schema = {};
  std::string name = {};
  bool populated = false;
  std::optional<std::int64_t> bytes = {};  ///< Unset while it is locked.
  std::int64_t now = 0;                    ///< When this was read.
  std::string refreshed_by = {};           ///< Empty: nobody refreshes it.
  std::optional<std::int64_t> refreshed_since = {};
  bool incremental = false;
};

/// The views with these oids, or without any those of these schemas, or without any of both all
/// whose schema the role may use. By schema and name.
/// @param turn_class  the first half of the advisory lock that a refresh of ours holds.
asio::awaitable<std::vector<status_facts>> read_status_facts(
    pg::connection& on, const std::vector<std::int64_t>& oids,
    const std::vector<std::string>& schemas, int turn_class);

/// What is remembered of a view. Needs status_access::history.
struct status_memory {
  std::int64_t view = 0;                        ///< Its oid.
  std::optional<std::int64_t> known_oid = {};   ///< Of the view that the memory is of.
  std::optional<std::int64_t> data_as_of = {};  ///< When the last refresh of it began.
  std::string sources = {};                     ///< As in view_memory, and so are these:
  std::string state = {};
  std::string now = {};
  std::optional<std::int64_t> started = {};  ///< Of the last refresh that was done.
  std::optional<std::int64_t> finished = {};
  std::string mode = {};
  std::string asked_by = {};
  std::optional<std::int64_t> rows = {};
  std::optional<double> median = {};     ///< Of the last 20 that were done.
  std::optional<double> deviation = {};  ///< The median of the deviations from it.
  int refreshes = 0;                     ///< How many of these 20 there are.
  std::optional<std::int64_t> failed_at = {};
  std::string sqlstate = {};
  std::string error = {};
};

/// Of those of the views of which anything is remembered.
asio::awaitable<std::vector<status_memory>> read_status_memory(
    pg::connection& on, const std::vector<std::int64_t>& views);

/// A schedule that refreshes a view.
struct status_schedule {
  std::int64_t view = 0;  ///< Its oid.
  std::string name = {};
  std::optional<std::int64_t> next_at = {};
  bool paused = false;
};

/// Of these views: those that are not paused first, then by their next time. Needs
/// status_access::schedules.
asio::awaitable<std::vector<status_schedule>> read_status_schedules(
    pg::connection& on, const std::vector<std::int64_t>& views);

}  // namespace matview::store
