#include "store/history.hpp"

#include <fmt/format.h>

#include <array>
#include <stdexcept>
#include <utility>

namespace matview::store {

namespace {

// The median of the last 20 in a mode.
constexpr std::string_view usual = R"((
  SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY took) FROM (
    SELECT extract(epoch FROM finished_at - started_at)::float8 AS took FROM matview.refresh
    WHERE schema = $1 AND name = $2 AND outcome = 'done' AND mode = '{}'
    ORDER BY started_at DESC LIMIT 20) AS last))";

constexpr std::string_view recall_sql = R"(
  SELECT v.oid::bigint, (extract(epoch FROM v.data_as_of) * 1000000)::bigint,
    coalesce(v.state::text, ''), coalesce({}::text, ''), {}, {}, coalesce(v.sources::text, '')
  FROM (SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n
          ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2) AS here
    FULL JOIN (SELECT * FROM matview.view WHERE schema = $1 AND name = $2) AS v ON true)";

constexpr std::string_view remember_sql = R"(
  INSERT INTO matview.view AS v (schema, name, oid, data_as_of, sources, state)
  VALUES ($1, $2, $3::bigint::oid, to_timestamp($4::bigint / 1000000.0), nullif($5, '')::jsonb, {})
  ON CONFLICT (schema, name) DO UPDATE SET (oid, data_as_of, sources, state, checked_at)
    = (excluded.oid, excluded.data_as_of, excluded.sources, excluded.state, NULL))";

constexpr const char* checked_sql = R"(
  UPDATE matview.view SET checked_at = clock_timestamp() WHERE schema = $1 AND name = $2)";

constexpr const char* care_sql = R"(
  UPDATE matview.refresh SET care = $2 WHERE id = (
    SELECT id FROM matview.refresh WHERE schema || '.' || name = $1 AND outcome = 'done'
    ORDER BY started_at DESC LIMIT 1))";

// $1 schema, $2 name, $3 oid, $4 mode, $5 reason, $6 outcome, $7 asked by, $8 host, $9 pid, $10
// start in microseconds, $11 rows, $12 bytes, $13 WAL, $14 lock waits, $15 SQLSTATE, $16 error, $17
// days to keep. What was there before is what the last one left.
constexpr const char* record_sql = R"(
  WITH expired AS (
    SELECT id FROM matview.refresh r WHERE $17::int > 0
      AND finished_at < clock_timestamp() - make_interval(days => $17::int)
      AND (SELECT count(*) FROM (SELECT FROM matview.refresh n WHERE n.schema = r.schema
             AND n.name = r.name AND n.started_at > r.started_at LIMIT 20) AS newer) = 20
    ORDER BY finished_at LIMIT 50 FOR UPDATE SKIP LOCKED),
  gone AS (DELETE FROM matview.refresh r USING expired e WHERE r.id = e.id),
  last AS (
    SELECT rows_after, bytes_after FROM matview.refresh
    WHERE schema = $1 AND name = $2 AND outcome IN ('done', 'outside')
    ORDER BY started_at DESC LIMIT 1)
  INSERT INTO matview.refresh (schema, name, oid, mode, reason, outcome, asked_by, host, pid,
    started_at, rows_before, rows_after, bytes_before, bytes_after, wal_bytes, lock_waits, sqlstate,
    error)
  SELECT $1, $2, $3::bigint::oid, $4, $5, $6, $7, $8, $9::int, to_timestamp($10::bigint / 1000000.0),
    (SELECT rows_after FROM last), $11::bigint, (SELECT bytes_after FROM last), $12::bigint,
    $13::bigint, $14::int, $15, $16)";

constexpr const char* history_sql = R"(
  SELECT id, schema, name, mode, reason, outcome, asked_by, coalesce(host, ''), coalesce(pid, 0),
    (extract(epoch FROM started_at) * 1000000)::bigint,
    (extract(epoch FROM finished_at) * 1000000)::bigint,
    rows_before, rows_after, bytes_before, bytes_after, wal_bytes, lock_waits,
    coalesce(sqlstate, ''), coalesce(error, ''), oid::bigint, coalesce(care, '')
  FROM matview.refresh
  WHERE ($1 = '' OR schema = $1) AND ($2 = '' OR name = $2)
  ORDER BY started_at DESC, id DESC LIMIT $3::int)";

constexpr const char* prune_sql = R"(
  WITH expired AS (
    SELECT id FROM matview.refresh r
    WHERE finished_at < clock_timestamp() - make_interval(secs => $1::float8)
      AND (SELECT count(*) FROM (SELECT FROM matview.refresh n WHERE n.schema = r.schema
             AND n.name = r.name AND n.started_at > r.started_at LIMIT 20) AS newer) = 20
    ORDER BY finished_at LIMIT $2::int FOR UPDATE SKIP LOCKED),
  gone AS (DELETE FROM matview.refresh r USING expired e WHERE r.id = e.id RETURNING 1)
  SELECT count(*) FROM gone)";

constexpr std::array modes{refresh_mode::none,         refresh_mode::full,
                           refresh_mode::concurrently, refresh_mode::incremental,
                           refresh_mode::diff,         refresh_mode::swap};
constexpr std::array outcomes{history_outcome::done, history_outcome::skipped,
                              history_outcome::failed, history_outcome::in_doubt,
                              history_outcome::outside};
constexpr std::array origins{refresh_origin::hand, refresh_origin::schedule, refresh_origin::api,
                             refresh_origin::somebody_else};

template <class Words>
typename Words::value_type value_of(const Words& all, std::string_view word) {
  for (const auto one : all) {
    if (to_string(one) == word) return one;
  }
  return all.front();  // A newer program's word.
}

pg::parameter number(const std::optional<std::int64_t>& value) {
  return value ? pg::parameter(fmt::format("{}", *value)) : pg::parameter();
}

pg::parameter text_or_null(std::string value) {
  return value.empty() ? pg::parameter() : pg::parameter(std::move(value));
}

std::int64_t microseconds(refresh_record::time_point time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}

refresh_record::time_point time_at(const pg::result& from, int row, int column) {
  return refresh_record::time_point(std::chrono::microseconds(from.integer(row, column)));
}

std::optional<std::int64_t> integer_at(const pg::result& from, int row, int column) {
  return from.is_null(row, column) ? std::nullopt : std::optional(from.integer(row, column));
}

std::optional<double> real_at(const pg::result& from, int row, int column) {
  return from.is_null(row, column) ? std::nullopt
                                   : std::optional(std::stod(from.string(row, column)));
}

}  // namespace

std::string state_of(std::string_view oid) {
  return fmt::format(R"((
    SELECT pg_catalog.jsonb_build_object(
      'xmin', c.xmin::text, 'file', pg_catalog.pg_relation_filenode(c.oid),
      'shape', pg_catalog.md5(pg_catalog.concat_ws('|', c.relname, c.relnamespace, c.relowner,
        c.relacl::text, c.reloptions::text, c.reltablespace, c.relam, c.relreplident, c.relhasrules,
        c.relhastriggers)),
      'writes', pg_catalog.pg_stat_get_tuples_inserted(c.oid)
        + pg_catalog.pg_stat_get_tuples_updated(c.oid)
        + pg_catalog.pg_stat_get_tuples_deleted(c.oid)
        + pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid)
        + pg_catalog.pg_stat_get_xact_tuples_updated(c.oid)
        + pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid),
      'scans', pg_catalog.pg_stat_get_numscans(c.oid)
        + pg_catalog.pg_stat_get_xact_numscans(c.oid)
        + (SELECT coalesce(pg_catalog.sum(pg_catalog.pg_stat_get_numscans(i.indexrelid)
            + pg_catalog.pg_stat_get_xact_numscans(i.indexrelid)), 0)
           FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid))
    FROM pg_catalog.pg_class c WHERE c.oid = {}))",
                     oid);
}

asio::awaitable<view_memory> recall(pg::connection& on, std::string schema, std::string name) {
  static const std::string sql = fmt::format(fmt::runtime(recall_sql), state_of("here.oid"),
                                             fmt::format(fmt::runtime(usual), "full"),
                                             fmt::format(fmt::runtime(usual), "concurrently"));
  std::vector<pg::parameter> values;
  values.emplace_back(std::move(schema));
  values.emplace_back(std::move(name));
  const pg::result found = co_await on.query(sql, std::move(values));
  view_memory out;
  if (found.rows() == 0) co_return out;
  out.oid = integer_at(found, 0, 0);
  out.data_as_of = integer_at(found, 0, 1);
  out.state = found.string(0, 2);
  out.now = found.string(0, 3);
  out.usual_full = real_at(found, 0, 4);
  out.usual_concurrently = real_at(found, 0, 5);
  out.sources = found.string(0, 6);
  co_return out;
}

asio::awaitable<void> remember(pg::connection& on, const refresh_record& row, std::string sources) {
  static const std::string sql =
      fmt::format(fmt::runtime(remember_sql), state_of("$3::bigint::oid"));
  std::vector<pg::parameter> values{row.schema, row.name, number(row.oid),
                                    fmt::format("{}", microseconds(row.started)),
                                    std::move(sources)};
  co_await on.query(sql, std::move(values));
}

asio::awaitable<void> note_checked(pg::connection& on, std::string schema, std::string name) {
  std::vector<pg::parameter> values;
  values.emplace_back(std::move(schema));
  values.emplace_back(std::move(name));
  co_await on.query(checked_sql, std::move(values));
}

asio::awaitable<void> note_care(pg::connection& on, std::string view, std::string care) {
  std::vector<pg::parameter> values;
  values.emplace_back(std::move(view));
  values.emplace_back(std::move(care));
  co_await on.query(care_sql, std::move(values));
}

asio::awaitable<void> record(pg::connection& on, refresh_record row, int keep_days) {
  std::vector<pg::parameter> values{row.schema,
                                    row.name,
                                    number(row.oid),
                                    std::string(to_string(row.mode)),
                                    row.reason,
                                    std::string(to_string(row.outcome)),
                                    std::string(to_string(row.asked_by)),
                                    row.host,
                                    fmt::format("{}", row.pid),
                                    fmt::format("{}", microseconds(row.started)),
                                    number(row.rows_after),
                                    number(row.bytes_after),
                                    number(row.wal_bytes),
                                    fmt::format("{}", row.lock_waits),
                                    text_or_null(row.sqlstate),
                                    text_or_null(row.error),
                                    fmt::format("{}", keep_days)};
  co_await on.query(record_sql, std::move(values));
}

asio::awaitable<std::vector<refresh_record>> history(pg::connection& on, std::string schema,
                                                     std::string name, int limit) {
  std::vector<pg::parameter> values;
  values.emplace_back(std::move(schema));
  values.emplace_back(std::move(name));
  values.emplace_back(fmt::format("{}", limit));
  const pg::result found = co_await on.query(history_sql, std::move(values));
  std::vector<refresh_record> out;
  out.reserve(static_cast<std::size_t>(found.rows()));
  for (int row = 0; row < found.rows(); ++row) {
    out.push_back({.id = found.integer(row, 0),
                   .schema = found.string(row, 1),
                   .name = found.string(row, 2),
                   .oid = integer_at(found, row, 19),
                   .mode = value_of(modes, found.text(row, 3)),
                   .reason = found.string(row, 4),
                   .outcome = value_of(outcomes, found.text(row, 5)),
                   .asked_by = value_of(origins, found.text(row, 6)),
                   .host = found.string(row, 7),
                   .pid = found.integer(row, 8),
                   .started = time_at(found, row, 9),
                   .finished = time_at(found, row, 10),
                   .rows_before = integer_at(found, row, 11),
                   .rows_after = integer_at(found, row, 12),
                   .bytes_before = integer_at(found, row, 13),
                   .bytes_after = integer_at(found, row, 14),
                   .wal_bytes = integer_at(found, row, 15),
                   .lock_waits = static_cast<int>(found.integer(row, 16)),
                   .care = found.string(row, 20),
                   .sqlstate = found.string(row, 17),
                   .error = found.string(row, 18)});
  }
  co_return out;
}

asio::awaitable<std::int64_t> prune(pg::connection& on, double seconds, int batch) {
  std::vector<pg::parameter> values;
  values.emplace_back(fmt::format("{}", seconds));
  values.emplace_back(fmt::format("{}", batch));
  const pg::result gone = co_await on.query(prune_sql, std::move(values));
  co_return gone.integer(0, 0);
}

}  // namespace matview::store
