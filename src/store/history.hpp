#pragma once

#include "pg/connection.hpp"
#include <matview/history.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace matview::store {

// The tables of migration 2: what is remembered of views and their refreshes.

/// SQL, a boolean expression: whether this role can keep the history here. Never fails for want of
/// the schema or of rights.
inline constexpr std::string_view keeps_history =
    "CASE WHEN pg_catalog.has_schema_privilege(pg_catalog.to_regnamespace('matview'), 'USAGE') "
    "THEN coalesce(pg_catalog.has_table_privilege(pg_catalog.to_regclass('matview.refresh'), "
    "'INSERT') AND pg_catalog.has_table_privilege(pg_catalog.to_regclass('matview.view'), "
    "'UPDATE'), false) ELSE false END";

/// SQL, an expression: the row of pg_class of the relation whose oid the expression `oid` is, as
/// far as it tells later whether somebody else has touched it, as JSON. Each refresh writes that
/// row anew, and so do GRANT and ALTER, but those leave a trace in `shape`; the counter of writes
/// tells a refresh from a rewrite by VACUUM FULL.
[[nodiscard]] std::string state_of(std::string_view oid);

/// What is remembered of a view. Times in microseconds since 1970, lengths in seconds.
struct view_memory {
  std::optional<std::int64_t> oid = {};
  std::optional<std::int64_t> data_as_of = {};
  std::string sources = {};  ///< What its tables looked like before that refresh, as JSON.
  std::string state = {};    ///< Its row of pg_class when our last refresh had ended, as JSON.
  std::string now = {};      ///< The same as it is now; empty if the view is not there.
  std::optional<double> usual_full = {};
  std::optional<double> usual_concurrently = {};
};

/// Memory of the view of this name; empty if nothing is known. Needs keeps_history.
asio::awaitable<view_memory> recall(pg::connection& on, std::string schema, std::string name);

/// What is known of the view from now on: that this refresh has made its data, from these sources.
/// In its transaction, after it.
asio::awaitable<void> remember(pg::connection& on, const refresh_record& row, std::string sources);

/// That its sources were found unchanged.
asio::awaitable<void> note_checked(pg::connection& on, std::string schema, std::string name);

/// What was done after the refresh, into the row of the last one.
asio::awaitable<void> note_care(pg::connection& on, std::string view, std::string care);

/// Writes a row. Rows that are older than `keep_days` days go, a few each time; 0 keeps all. Needs
/// keeps_history.
asio::awaitable<void> record(pg::connection& on, refresh_record row, int keep_days);

/// The newest first, of one view or, both names being empty, of all.
asio::awaitable<std::vector<refresh_record>> history(pg::connection& on, std::string schema,
                                                     std::string name, int limit);

/// One batch of what is older than `seconds`; how many rows that was.
asio::awaitable<std::int64_t> prune(pg::connection& on, double seconds, int batch);

}  // namespace matview::store
