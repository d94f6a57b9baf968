#include "views/statements.hpp"

#include "pg/conninfo.hpp"
#include "store/catalog.hpp"
#include "store/history.hpp"
#include "store/incremental.hpp"
#include "text/quote.hpp"
#include "views/patience.hpp"
#include <matview/error.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <limits>
#include <utility>

namespace matview::views {

namespace {

std::optional<long> milliseconds(std::string_view option, const std::optional<interval>& value) {
  if (!value) return std::nullopt;
  const auto rounded = std::chrono::ceil<std::chrono::milliseconds>(value->to_duration()).count();
  if (rounded > std::numeric_limits<int>::max()) {
    throw error(errc::invalid_option, fmt::format("{} of {} is too long", option, value->text()),
                {.hint = "the server takes at most 24 days; 0 seconds means no limit"});
  }
  return rounded;
}

}  // namespace

statement_settings::statement_settings(std::string activity,
                                       const std::optional<interval>& statement_timeout,
                                       const std::optional<interval>& lock_timeout)
    : activity_(std::move(activity)),
      statement_timeout_(milliseconds("statement_timeout", statement_timeout)),
      lock_timeout_(milliseconds("lock_timeout", lock_timeout)) {}

std::string statement_settings::set_local(bool nested) const {
  std::string out;
  if (!nested)
    out += fmt::format("SET LOCAL application_name = {}; ", text::sql_literal(activity_));
  if (statement_timeout_) {
    out += fmt::format("SET LOCAL statement_timeout = {}; ", *statement_timeout_);
  }
  if (lock_timeout_) out += fmt::format("SET LOCAL lock_timeout = {}; ", *lock_timeout_);
  return out;
}

checked_index::checked_index(const index_definition& definition) : unique_(definition.unique) {
  if (definition.columns.empty()) {
    throw error(errc::invalid_option, "an index needs at least one column",
                {.hint = "name the view's columns, such as \"day, airport\""});
  }
  for (const std::string& column : definition.columns) {
    columns_.push_back(identifier::parse(column));
    if (!columns_.back().schema().empty()) {
      throw error(errc::invalid_identifier,
                  fmt::format("{} is not a column's name", text::shown(column)),
                  {.hint = "a column is named without its view"});
    }
  }
}

std::string checked_index::create_on(std::string_view quoted_view) const {
  std::vector<std::string> quoted;
  quoted.reserve(columns_.size());
  for (const identifier& column : columns_) quoted.push_back(column.quoted());
  return fmt::format("CREATE {}INDEX ON {} ({})", unique_ ? "UNIQUE " : "", quoted_view,
                     fmt::join(quoted, ", "));
}

namespace {

// Who runs into it is told which columns were to be unique. A name that the server would cut could
// be that of another one.
std::string constraint_name(const std::vector<identifier>& columns) {
  constexpr std::size_t longest = 63;
  std::string out = "unique (";
  for (const identifier& column : columns) {
    out += (&column == &columns.front() ? "" : ", ") + column.name();
  }
  out += ")";
  return out.size() > longest ? std::string() : fmt::format("CONSTRAINT {} ", pg::quote_name(out));
}

}  // namespace

std::string checked_index::create_on_storage(std::string_view storage,
                                             const incremental::compiled_view& view) const {
  std::vector<std::string> stored;
  for (const identifier& column : columns_) {
    const auto found = view.stored.find(column.name());
    if (found == view.stored.end()) {
      throw error(errc::invalid_option,
                  fmt::format("the view has no column {} to be indexed", column.quoted()),
                  {.sqlstate = "42703", .hint = "names are case-sensitive"});
    }
    stored.push_back(found->second);
  }
  std::string out = fmt::format("CREATE {}INDEX ON {} ({})", unique_ ? "UNIQUE " : "", storage,
                                fmt::join(stored, ", "));
  // Copies of a row are counted, where an index does not see them. As the index they may have NULL.
  if (unique_ && !view.unique_rows) {
    // Once for all indexes on these columns.
    out += fmt::format(
        "; DO $check$ BEGIN ALTER TABLE {} ADD {}CHECK (__mv_n1 <= 1 OR {} IS NULL); "
        "EXCEPTION WHEN duplicate_object THEN NULL; END $check$",
        storage, constraint_name(columns_), fmt::join(stored, " IS NULL OR "));
  }
  return out;
}

create_statement create(const identifier& view, const text::select_query& query, bool with_data) {
  const std::string head = fmt::format("CREATE MATERIALIZED VIEW {} AS ", view.quoted());
  // The line break ends a comment that the query may end with.
  return {fmt::format("{}{}\nWITH {}DATA", head, query.text(), with_data ? "" : "NO "),
          head.size()};
}

std::string comment(std::string_view quoted_view, std::string_view comment) {
  return fmt::format("COMMENT ON MATERIALIZED VIEW {} IS {}", quoted_view,
                     text::sql_literal(comment));
}

std::string refresh(const identifier& view, bool concurrently) {
  return fmt::format("REFRESH MATERIALIZED VIEW {}{}", concurrently ? "CONCURRENTLY " : "",
                     view.quoted());
}

std::string drop(const identifier& view, bool if_exists, bool cascade) {
  return fmt::format("DROP MATERIALIZED VIEW {}{}{}", if_exists ? "IF EXISTS " : "", view.quoted(),
                     cascade ? " CASCADE" : "");
}

namespace {

std::string turn(std::string_view function, const identifier& view) {
  return fmt::format(
      "SELECT pg_catalog.{}({}, pg_catalog.to_regclass('{}')::pg_catalog.oid::pg_catalog.int4)",
      function, turn_class, view.quoted());
}

}  // namespace

std::string wait_for_turn(const identifier& view) {
  return turn("pg_advisory_xact_lock", view);
}

std::string try_turn(const identifier& view) {
  return turn("pg_try_advisory_xact_lock", view);
}

std::string give_way(int tries) {
  const std::string longest =
      tries < outwaits_autovacuum
          ? fmt::format("'{}'", one_wait.count())
          : "(extract(epoch FROM pg_catalog.current_setting('deadlock_timeout')"
            "::pg_catalog.interval) * 1000 + 250)::pg_catalog.int4::pg_catalog.text";
  return fmt::format(
      "SELECT pg_catalog.set_config('lock_timeout', {}, true), "
      "pg_catalog.set_config('matview.gives_way', 'on', true) "
      "WHERE pg_catalog.current_setting('lock_timeout') = '0'",
      longest);
}

std::string moment() {
  return fmt::format(
      "SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::pg_catalog.int8, "
      "CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN "
      "pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')"
      "::pg_catalog.int8 END, {}",
      store::keeps_history);
}

std::string state(const identifier& view) {
  return "SELECT " + store::state_of(fmt::format("pg_catalog.to_regclass('{}')", view.quoted()));
}

std::string look_at(const identifier& view) {
  return fmt::format(
      "SELECT n.nspname, c.relname, c.oid::pg_catalog.int8, c.relkind, c.relispopulated, {}, "
      "c.relpages::pg_catalog.int8 * pg_catalog.current_setting('block_size')::pg_catalog.int8, "
      "(SELECT pg_catalog.count(DISTINCT l.pid) FROM pg_catalog.pg_locks l "
      "WHERE l.relation = c.oid AND l.granted AND l.mode = 'AccessShareLock' "
      "AND l.pid <> pg_catalog.pg_backend_pid()), "
      "(SELECT coalesce(pg_catalog.sum(s.seq_scan + coalesce(s.idx_scan, 0)), 0) "
      "FROM pg_catalog.pg_stat_all_tables s WHERE s.relid = c.oid), c.xmin, {}, "
      // The size is found under a lock that waits for somebody else's full refresh of the view.
      "CASE WHEN NOT EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.relation = c.oid "
      "AND l.mode = 'AccessExclusiveLock' AND l.pid <> pg_catalog.pg_backend_pid()) THEN "
      "pg_catalog.pg_total_relation_size("
      "CASE c.relkind WHEN 'v' THEN {} ELSE c.oid END) END, {} "
      "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
      "WHERE c.oid = pg_catalog.to_regclass('{}')",
      store::usable_unique_index, store::keeps_history, store::storage_of, store::is_incremental,
      view.quoted());
}

std::string refreshing_sessions(const identifier& view) {
  return fmt::format(
      "SELECT a.pid, pg_catalog.format('pid %s (%s, %s)', a.pid, "
      "coalesce(nullif(a.application_name, ''), '?'), coalesce(a.usename, '?')) "
      "FROM pg_catalog.pg_stat_activity a WHERE a.pid <> pg_catalog.pg_backend_pid() "
      "AND a.datname = pg_catalog.current_database() AND EXISTS ("
      "SELECT FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND l.granted AND ("
      "(l.locktype = 'advisory' AND l.classid = {0} AND l.objsubid = 2 "
      "AND l.objid = pg_catalog.to_regclass('{1}')) OR "
      "(l.relation = pg_catalog.to_regclass('{1}') AND a.query ~* '^\\s*refresh' "
      "AND l.mode IN ('ExclusiveLock', 'AccessExclusiveLock'))))",
      turn_class, view.quoted());
}

std::string rows_inserted(const identifier& view) {
  return fmt::format(
      "SELECT pg_catalog.pg_stat_get_xact_tuples_inserted(pg_catalog.to_regclass('{}'))",
      view.quoted());
}

// Functions alone: behind a refresh, whose catalog changes have emptied the session's caches, a
// join of pg_class and pg_namespace costs a quarter of a millisecond (bench/).
std::string measure(std::string_view quoted) {
  return fmt::format(
      "SELECT a.object_names[1], a.object_names[2], pg_catalog.pg_total_relation_size({0}), "
      "CASE WHEN pg_catalog.current_setting('track_counts')::pg_catalog.bool "
      "THEN pg_catalog.pg_stat_get_xact_tuples_inserted({0}) END, "
      "pg_catalog.has_table_privilege({0}, 'SELECT'), {0}::pg_catalog.oid::pg_catalog.int8 "
      "FROM pg_catalog.pg_identify_object_as_address("
      "'pg_catalog.pg_class'::pg_catalog.regclass, {0}, 0) AS a",
      fmt::format("pg_catalog.to_regclass({})", text::sql_literal(quoted)));
}

std::string count_rows(std::string_view quoted) {
  return fmt::format("SELECT pg_catalog.count(*) FROM {}", quoted);
}

std::string oid_of(const identifier& view) {
  return fmt::format("SELECT pg_catalog.to_regclass('{}')::pg_catalog.oid", view.quoted());
}

std::string known_rows(const identifier& view) {
  return fmt::format(
      "SELECT c.oid::pg_catalog.int8, CASE WHEN c.reltuples >= 0 THEN c.reltuples::pg_catalog.int8 "
      "END, {}, c.relkind = 'm' FROM pg_catalog.pg_class c WHERE c.oid = "
      "pg_catalog.to_regclass('{}')",
      store::is_incremental, view.quoted());
}

std::string relation_in_place(const identifier& view) {
  const std::string schema =
      view.schema().empty() ? "pg_catalog.current_schema()" : text::sql_literal(view.schema());
  return fmt::format(
      "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), c.relkind, {}, "
      "pg_catalog.pg_total_relation_size(CASE c.relkind WHEN 'v' THEN {} END) "
      "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
      "WHERE n.nspname = {} AND c.relname = {}",
      store::is_incremental, store::storage_of, schema, text::sql_literal(view.name()));
}

}  // namespace matview::views
