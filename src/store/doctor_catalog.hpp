#pragma once

#include "pg/connection.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace matview::store {

// What the doctor asks a database about its materialized views: a query for each sort of fact, for
// all views at once. Reads only. Sizes of a view that somebody holds exclusively are left out, as
// asking for them would wait.

using oid = std::int64_t;

/// A materialized view as it stands. Plain data.
struct view_facts {
  oid id = 0;
  std::string schema;
  std::string name;
  std::string quoted;  ///< `"schema"."name"`, quoted where it has to be.
  std::string owner;   ///< As SQL takes it.
  bool populated = false;
  bool unique_index = false;        ///< One that REFRESH ... CONCURRENTLY can use.
  std::string invalid_index = {};   ///< A unique one that would do, had its creation not failed.
  std::int64_t indexes = 0;         ///< Valid ones.
  bool owner_may_temporary = true;  ///< Make temporary tables in this database.
  bool may_refresh = false;         ///< The current role.
  bool may_read = false;            ///< The current role.
  double rows = -1;                 ///< pg_class.reltuples: -1 is unknown.
  std::int64_t visible_pages = 0;   ///< Marked all-visible when it was last vacuumed.
  std::optional<std::int64_t> pages = {};  ///< Now.
  std::optional<double> row_bytes = {};    ///< Average, aligned, if statistics can be read.
  double fill = 1;                         ///< How full its pages are made: fillfactor.
  std::int64_t live_rows = 0;              ///< By the cumulative statistics, as is what follows.
  std::int64_t dead_rows = 0;
  std::int64_t changed_rows = 0;  ///< Since the last ANALYZE.
  bool analyzed = false;
  std::int64_t scans = 0;       ///< Of it and of its indexes, by whomever.
  std::int64_t dependents = 0;  ///< Views, rules and functions that name it.
  bool incremental = false;     ///< Sizes, indexes and counters are then those of its storage.
  std::string held = {};        ///< What holds its rows, quoted: itself, or its storage.
};

/// The server and the role.
struct server_facts {
  int version = 0;
  std::string role = {};      ///< As SQL takes it.
  std::string database = {};  ///< As SQL takes it.
  std::int64_t block_bytes = 8192;
  bool counts = true;                ///< track_counts.
  std::chrono::seconds counting{0};  ///< Since when, at least.
  std::string counting_since = {};   ///< That as a time.
};

/// Something that a view's query or an index of it calls.
struct function_facts {
  oid view = 0;
  std::string name = {};       ///< Quoted, with the types of its arguments: `public.f(integer)`.
  std::string bare_name = {};  ///< As the catalog has it.
  std::string schema = {};     ///< As the catalog has it.
  std::string index = {};      ///< The index whose expression calls it, or empty for the query.
  std::string called_by = {};  ///< The function whose body calls it, if the view does not.
  std::string language = {};
  std::string body = {};  ///< Of a function in SQL or PL/pgSQL, as text; else empty.
  bool sets_search_path = false;
  char volatility = 'v';
  bool owner_may_execute = true;  ///< The view's owner.
};

/// A relation that the view's owner may not read, though its query does.
struct unreadable_relation {
  oid view = 0;
  std::string relation = {};  ///< Quoted.
  std::string role = {};      ///< Who lacks the right: the owner, or that of a view in between.
};

/// Expressions of a query that are no functions: CURRENT_DATE, TABLESAMPLE.
struct expression_facts {
  oid view = 0;
  std::string word = {};
};

/// A name that means something outside pg_catalog.
struct name_facts {
  char sort = 'r';  ///< r relation, f function, t type.
  std::string name = {};
  std::vector<std::string> schemas = {};  ///< Quoted; where it is.
};

/// How often the history says that a view was refreshed since the server counts.
struct refresh_counts {
  oid view = 0;
  std::int64_t full = 0;
  std::int64_t concurrently = 0;
};

/// A schedule that refreshes a view and is not paused.
struct schedule_facts {
  std::string name = {};
  std::string view = {};            ///< As its arguments say.
  std::optional<oid> view_id = {};  ///< Nothing: there is no such relation.
  bool concurrently = false;
  std::string cron = {};
  std::string time_zone = {};
  std::optional<std::chrono::microseconds> every = {};
  std::optional<std::chrono::microseconds> timeout = {};
  std::optional<std::chrono::microseconds> usual_duration = {};  ///< Median of the last refreshes.
};

/// The role, the server, and for how long it has counted.
asio::awaitable<server_facts> read_server(pg::connection& on);

/// The oids of those of read_views() that read no storage, as somebody has given them another
/// query: it leaves them out.
asio::awaitable<std::vector<std::int64_t>> find_altered(
    pg::connection& on, const std::vector<std::string>& quoted_names,
    const std::vector<std::string>& schemas);

/// Views by quoted name, or else all of some schemas, or else all of the schemas that the role may
/// use; sorted by name.
asio::awaitable<std::vector<view_facts>> read_views(pg::connection& on,
                                                    const std::vector<std::string>& quoted_names,
                                                    const std::vector<std::string>& schemas);

/// Of these views, and of the plain views that their queries read.
asio::awaitable<std::vector<function_facts>> read_functions(pg::connection& on,
                                                            const std::string& views);
/// The functions of these names in SQL and PL/pgSQL, whoever calls them: `view` is 0.
asio::awaitable<std::vector<function_facts>> read_called(pg::connection& on,
                                                         const std::vector<std::string>& schemas,
                                                         const std::vector<std::string>& names);
asio::awaitable<std::vector<expression_facts>> read_expressions(pg::connection& on,
                                                                const std::string& views);
asio::awaitable<std::vector<unreadable_relation>> read_unreadable(pg::connection& on,
                                                                  const std::string& views);

/// The oids as a value of type oid[]. Pure.
[[nodiscard]] std::string oid_array(const std::vector<view_facts>& views);

/// Which of these names are in the catalog, and not in pg_catalog. `sorts` has a letter for each.
asio::awaitable<std::vector<name_facts>> read_names(pg::connection& on,
                                                    const std::vector<std::string>& sorts,
                                                    const std::vector<std::string>& names);

/// What of the tool's own tables can be read.
struct own_tables {
  bool schedules = false;           ///< The database has schedules.
  bool schedules_readable = false;  ///< And the role may read them.
  bool history_readable = false;    ///< The same of the history of refreshes.
};
asio::awaitable<own_tables> find_own_tables(pg::connection& on);

/// @param with_history  whether the history may be read, for how long refreshes usually take.
asio::awaitable<std::vector<schedule_facts>> read_schedules(pg::connection& on, bool with_history);

/// @param counting  how long ago the server began to count.
asio::awaitable<std::vector<refresh_counts>> read_refresh_counts(pg::connection& on,
                                                                 std::chrono::seconds counting);

/// What the upkeep of one view goes by.
struct upkeep_facts {
  std::int64_t pages = 0;          ///< As last counted: by a full refresh if there is an index.
  std::int64_t visible_pages = 0;  ///< Marked all-visible, as last counted.
  bool any_index = false;
  bool analyzed = false;   ///< Statistics of its columns are there, or of its rows.
  bool permitted = false;  ///< The current role may VACUUM and ANALYZE it.
};

/// @throws error with errc::view_not_found if there is no such relation any more.
asio::awaitable<upkeep_facts> read_upkeep(pg::connection& on, const std::string& quoted);

}  // namespace matview::store
