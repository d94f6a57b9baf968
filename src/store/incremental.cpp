#include "store/incremental.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <utility>

namespace matview::store {

namespace {

constexpr const char* next_id_sql =
    "SELECT pg_catalog.nextval(pg_catalog.pg_get_serial_sequence('matview.incremental', 'id'))";

// Its own query stands in for the parts to come.
constexpr const char* begin_sql = R"(
  INSERT INTO matview.incremental (id, view, definition, storage, program, last_refresh)
  OVERRIDING SYSTEM VALUE
  SELECT $1::pg_catalog.int4, d, d, d, '{}', pg_catalog.clock_timestamp()
    FROM pg_catalog.format('matview.definition_%s', $1::pg_catalog.int4) AS n,
         CAST(n AS pg_catalog.regclass) AS d)";

constexpr const char* capture_sql =
    "SELECT matview.capture_changes($1::pg_catalog.int4, $2::pg_catalog.int8::pg_catalog.oid, "
    "$3::pg_catalog.name[])";

constexpr const char* finish_sql = R"(
  UPDATE matview.incremental SET view = $2::pg_catalog.regclass,
    storage = $3::pg_catalog.regclass, program = $4::pg_catalog.jsonb,
    settings = $5::pg_catalog.jsonb, layout = pg_catalog.md5($6),
    fingerprint = matview.structure($1::pg_catalog.int4)
  WHERE id = $1::pg_catalog.int4)";

// Not those whose definition alone is gone: their view still shows what it held, and depends on the
// storage. They become orphans when it is dropped.
constexpr const char* orphans_sql = R"(
  SELECT i.id FROM matview.incremental i
   WHERE (NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = i.view::pg_catalog.oid)
      OR (i.watermark IS NULL AND i.last_refresh < pg_catalog.clock_timestamp() - interval '1 hour'
          AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = i.view::pg_catalog.oid
                         AND c.relnamespace = 'matview'::pg_catalog.regnamespace)))
     -- Those of others are theirs to discard.
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid IN (i.storage, i.definition)
                        AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE'))
   FOR UPDATE SKIP LOCKED)";

// Of views that another role was the last to drop.
constexpr const char* unused_logs_sql = R"(
  SELECT matview.release_capture(NULL) WHERE EXISTS (
    SELECT FROM matview.change_log l
      LEFT JOIN pg_catalog.pg_class c ON c.relname = pg_catalog.format('log_%s', l.id)
       AND c.relnamespace = 'matview'::pg_catalog.regnamespace
     WHERE NOT EXISTS (SELECT FROM matview.capture k WHERE k.log = l.id)
       AND (c.oid IS NULL OR pg_catalog.pg_has_role(c.relowner, 'USAGE'))))";

// Those of others are theirs to discard.
constexpr const char* hold_sql = R"(
  WITH RECURSIVE ending (id, storage) AS (
    SELECT i.id, i.storage FROM matview.incremental i
     WHERE i.view::pg_catalog.oid = pg_catalog.to_regclass($1)
    UNION
    SELECT i.id, i.storage FROM ending e JOIN matview.change_log l ON l.base = e.storage
      JOIN matview.capture k ON k.log = l.id JOIN matview.incremental i ON i.id = k.view
     WHERE $2::pg_catalog.bool)
  SELECT i.id FROM matview.incremental i
   WHERE i.id IN (SELECT e.id FROM ending e)
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid IN (i.storage, i.definition)
                        AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE'))
   ORDER BY i.id FOR UPDATE)";

std::vector<pg::parameter> of(int id) {
  std::vector<pg::parameter> out;
  out.emplace_back(fmt::format("{}", id));
  return out;
}

std::vector<pg::parameter> of_all(const std::vector<int>& ids) {
  std::vector<pg::parameter> out;
  out.emplace_back(fmt::format("{{{}}}", fmt::join(ids, ",")));
  return out;
}

std::vector<int> ids_in(const pg::result& found) {
  std::vector<int> out;
  out.reserve(static_cast<std::size_t>(found.rows()));
  for (int row = 0; row < found.rows(); ++row) {
    out.push_back(static_cast<int>(found.integer(row, 0)));
  }
  return out;
}

}  // namespace

asio::awaitable<int> next_incremental_id(pg::connection& on) {
  const pg::result next = co_await on.query(next_id_sql);
  co_return static_cast<int>(next.integer(0, 0));
}

asio::awaitable<void> begin_incremental(pg::connection& on, int id) {
  co_await on.query(begin_sql, of(id));
}

asio::awaitable<int> capture(pg::connection& on, int id, std::int64_t table,
                             std::vector<std::string> columns) {
  std::vector<pg::parameter> values = of(id);
  values.emplace_back(fmt::format("{}", table));
  values.emplace_back(pg::array_literal(columns));
  const pg::result log = co_await on.query(capture_sql, std::move(values));
  co_return static_cast<int>(log.integer(0, 0));
}

asio::awaitable<void> finish_incremental(pg::connection& on, int id, std::string view,
                                         std::string storage, std::string program,
                                         std::string settings, std::string layout) {
  std::vector<pg::parameter> values = of(id);
  values.emplace_back(std::move(view));
  values.emplace_back(std::move(storage));
  values.emplace_back(std::move(program));
  values.emplace_back(std::move(settings));
  values.emplace_back(std::move(layout));
  co_await on.query(finish_sql, std::move(values));
}

asio::awaitable<bool> replace_program(pg::connection& on, int id, std::string program,
                                      std::string layout) {
  std::vector<pg::parameter> values = of(id);
  values.emplace_back(std::move(program));
  values.emplace_back(std::move(layout));
  const pg::result done = co_await on.query(
      "UPDATE matview.incremental SET program = $2::pg_catalog.jsonb, "
      "fingerprint = matview.structure(id) WHERE id = $1::pg_catalog.int4 AND layout = "
      "pg_catalog.md5($3) RETURNING 1",
      std::move(values));
  co_return done.rows() == 1;
}

error made_anew_meanwhile() {
  return {errc::server_error,
          "the view was made anew by somebody else meanwhile",
          {.sqlstate = "40001", .hint = "try again"}};
}

asio::awaitable<void> copy_settings(pg::connection& on, int from, int to) {
  std::vector<pg::parameter> values = of(from);
  values.emplace_back(fmt::format("{}", to));
  const pg::result copied = co_await on.query(
      "UPDATE matview.incremental i SET settings = o.settings, log_limit = o.log_limit, "
      "full_seconds = o.full_seconds FROM matview.incremental o WHERE o.id = $1::pg_catalog.int4 "
      "AND i.id = $2::pg_catalog.int4 RETURNING i.id",
      std::move(values));
  if (copied.rows() == 0) throw made_anew_meanwhile();
}

asio::awaitable<void> copy_definition(pg::connection& on, int from, int to) {
  std::vector<pg::parameter> values = of(from);
  const pg::result query = co_await on.query(
      "SELECT matview.view_text(i.definition) FROM matview.incremental i "
      "WHERE i.id = $1::pg_catalog.int4",
      std::move(values));
  if (query.rows() == 0 || query.is_null(0, 0)) throw made_anew_meanwhile();
  std::string create =
      fmt::format("CREATE VIEW matview.definition_{} AS {}", to, query.string(0, 0));
  co_await on.query(std::move(create));
}

asio::awaitable<void> take_over(pg::connection& on, int old, int made) {
  std::vector<pg::parameter> values = of(old);
  values.emplace_back(fmt::format("{}", made));
  co_await on.query("SELECT matview.take_over($1::pg_catalog.int4, $2::pg_catalog.int4)",
                    std::move(values));
}

asio::awaitable<void> discard_incremental(pg::connection& on, int id) {
  co_await on.query("SELECT matview.discard($1::pg_catalog.int4)", of(id));
}

asio::awaitable<std::vector<int>> hold_for_the_end(pg::connection& on, std::string quoted,
                                                   bool above) {
  std::vector<pg::parameter> values;
  values.emplace_back(std::move(quoted));
  values.emplace_back(above ? "true" : "false");
  const auto hold = [&]() -> asio::awaitable<std::vector<int>> {
    std::vector<pg::parameter> same = values;
    co_return ids_in(co_await on.query(hold_sql, std::move(same)));
  };
  // What it waited for may have made a view once more, with another row.
  std::vector<int> held = co_await hold();
  for (;;) {
    std::vector<int> now = co_await hold();
    if (now == held) co_return held;
    held = std::move(now);
  }
}

asio::awaitable<void> release_tables(pg::connection& on, std::vector<int> ids) {
  co_await on.query("SELECT matview.release_tables($1::pg_catalog.int4[])", of_all(ids));
}

asio::awaitable<void> discard_all(pg::connection& on, std::vector<int> ids) {
  const pg::result left = co_await on.query(
      "SELECT pg_catalog.unnest(matview.discard_all($1::pg_catalog.int4[]))", of_all(ids));
  // The server says what stands on it.
  for (const int id : ids_in(left)) co_await discard_incremental(on, id);
}

asio::awaitable<void> discard_orphans(pg::connection& on) {
  const pg::result found = co_await on.query(orphans_sql);
  const std::vector<int> ids = ids_in(found);
  if (!ids.empty()) {
    std::vector<int> same = ids;
    co_await release_tables(on, std::move(same));
    co_await on.query("SELECT matview.discard_all($1::pg_catalog.int4[])", of_all(ids));
  }
  co_await on.query(unused_logs_sql);
}

asio::awaitable<std::vector<std::string>> without_definition(pg::connection& on) {
  const pg::result found = co_await on.query(
      "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM matview.incremental i "
      "JOIN pg_catalog.pg_class c ON c.oid = i.view::pg_catalog.oid "
      "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE NOT EXISTS ("
      "SELECT FROM pg_catalog.pg_class d WHERE d.oid = i.definition::pg_catalog.oid) ORDER BY "
      "i.id");
  std::vector<std::string> out;
  out.reserve(static_cast<std::size_t>(found.rows()));
  for (int row = 0; row < found.rows(); ++row) out.push_back(found.string(row, 0));
  co_return out;
}

asio::awaitable<std::string> named_by_users(pg::connection& on, std::string text) {
  constexpr std::string_view prefix = "matview.definition_";
  if (text.find(prefix) == std::string::npos) co_return text;
  // The longer numbers first: 12 begins like 1.
  const pg::result found = co_await on.query(
      "SELECT i.id, pg_catalog.format('%I.%I', n.nspname, c.relname) FROM matview.incremental i "
      "JOIN pg_catalog.pg_class c ON c.oid = i.view::pg_catalog.oid "
      "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY i.id DESC");
  for (int row = 0; row < found.rows(); ++row) {
    const std::string part = std::string(prefix) + found.string(row, 0);
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at)) {
      text.replace(at, part.size(), found.string(row, 1));
      at += found.text(row, 1).size();
    }
  }
  co_return text;
}

asio::awaitable<bool> is_captured(pg::connection& on, int id) {
  const pg::result found = co_await on.query(
      "SELECT fingerprint NOT LIKE '%:' FROM matview.incremental "
      "WHERE id = $1::pg_catalog.int4",
      of(id));
  co_return found.rows() == 1 && found.boolean(0, 0);
}

asio::awaitable<compared_columns> columns_to_compare(pg::connection& on, int id) {
  constexpr std::string_view sql = R"(
    WITH c AS (
      SELECT a.attnum, pg_catalog.quote_ident(a.attname) AS name,
             b.typtype IN ('e', 'r', 'm', 'c') OR EXISTS (
               SELECT FROM pg_catalog.pg_opclass AS o WHERE o.opcdefault AND (o.opcintype = b.oid OR EXISTS (
                 SELECT FROM pg_catalog.pg_cast AS k WHERE k.castsource = b.oid
                    AND k.casttarget = o.opcintype AND k.castmethod = 'b' AND k.castcontext = 'i'))
                  AND o.opcmethod IN (SELECT m.oid FROM pg_catalog.pg_am AS m
                                       WHERE m.amname IN ('btree', 'hash'))) AS comparable
        FROM matview.incremental AS i
        JOIN pg_catalog.pg_attribute AS a
          ON a.attrelid = i.definition::pg_catalog.oid AND a.attnum > 0
        JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
        LEFT JOIN pg_catalog.pg_type AS d ON d.oid = t.typbasetype
        JOIN pg_catalog.pg_type AS b
          ON b.oid = CASE WHEN coalesce(d.typcategory, t.typcategory) = 'A'
                           AND coalesce(d.typelem, t.typelem) <> 0
                          THEN coalesce(d.typelem, t.typelem) ELSE coalesce(d.oid, t.oid) END
       WHERE i.id = {})
    SELECT string_agg(c.name, ', ' ORDER BY c.attnum),
           string_agg(c.name || CASE WHEN c.comparable THEN '' ELSE '::text AS ' || c.name END, ', '
                      ORDER BY c.attnum)
      FROM c)";
  const auto found = co_await on.run(fmt::format(fmt::runtime(sql), id));
  co_return compared_columns{.names = found.back().string(0, 0),
                             .compared = found.back().string(0, 1)};
}

asio::awaitable<bool> shows_storage(pg::connection& on, int id) {
  const pg::result found = co_await on.query(
      "SELECT EXISTS (SELECT FROM matview.incremental i JOIN pg_catalog.pg_rewrite r ON r.ev_class "
      "= i.view JOIN pg_catalog.pg_depend d ON d.objid = r.oid AND d.refobjid = i.storage AND "
      "d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND "
      "d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass "
      "WHERE i.id = $1::pg_catalog.int4)",
      of(id));
  co_return found.boolean(0, 0);
}

std::string view_text_sql(std::string_view oid) {
  return fmt::format(
      "(WITH alike AS MATERIALIZED (SELECT pg_catalog.set_config('DateStyle', 'ISO, YMD', true), "
      "pg_catalog.set_config('IntervalStyle', 'postgres', true), "
      "pg_catalog.set_config('extra_float_digits', '1', true)) "
      "SELECT pg_catalog.pg_get_viewdef({}) FROM alike)",
      oid);
}

error definition_gone(std::string_view quoted) {
  return {errc::server_error,
          fmt::format("the query of {} is gone: something that it reads was dropped with CASCADE",
                      quoted),
          {.sqlstate = "55000",
           .hint = "it still shows what it held; drop it, and create it again once its tables are "
                   "there"}};
}

asio::awaitable<std::optional<int>> incremental_id(pg::connection& on, std::string quoted) {
  std::vector<pg::parameter> values;
  values.emplace_back(std::move(quoted));
  const pg::result found = co_await on.query(
      "SELECT id FROM matview.incremental WHERE view::pg_catalog.oid = pg_catalog.to_regclass($1)",
      std::move(values));
  if (found.rows() == 0) co_return std::nullopt;
  co_return static_cast<int>(found.integer(0, 0));
}

asio::awaitable<std::int64_t> oid_in_schema(pg::connection& on, std::string name) {
  std::vector<pg::parameter> values;
  values.emplace_back("matview." + name);
  const pg::result found = co_await on.query(
      "SELECT $1::pg_catalog.regclass::pg_catalog.oid::pg_catalog.int8", std::move(values));
  co_return found.integer(0, 0);
}

asio::awaitable<std::string> settings_now(pg::connection& on) {
  const pg::result found = co_await on.query(
      "SELECT pg_catalog.jsonb_object_agg(name, setting) FROM pg_catalog.pg_settings WHERE name IN "
      "('TimeZone', 'DateStyle', 'IntervalStyle', 'extra_float_digits', 'lc_time', 'lc_monetary', "
      "'lc_numeric', 'bytea_output', 'default_text_search_config', 'xmlbinary', 'xmloption')");
  co_return found.string(0, 0);
}

asio::awaitable<incremental_refresh> run_refresh(pg::connection& on, std::string quoted,
                                                 std::string wish, bool locked) {
  std::vector<pg::parameter> values;
  values.emplace_back(std::move(quoted));
  values.emplace_back(std::move(wish));
  values.emplace_back(locked ? "true" : "false");
  const pg::result done = co_await on.query(
      "SELECT mode, reason, coalesce(rows, 0), log_rows "
      "FROM matview.refresh($1::pg_catalog.regclass, $2, $3::pg_catalog.bool, true)",
      std::move(values));
  incremental_refresh out{
      .mode = done.string(0, 0), .reason = done.string(0, 1), .rows = done.integer(0, 2)};
  if (!done.is_null(0, 3)) out.log_rows = done.integer(0, 3);
  co_return out;
}

asio::awaitable<std::int64_t> prune_logs(pg::connection& on) {
  constexpr std::int64_t batch = 10'000;
  constexpr std::chrono::seconds patience{5};
  const auto began = std::chrono::steady_clock::now();
  std::int64_t total = 0;
  for (;;) {
    const pg::result pruned = co_await on.query(fmt::format("SELECT matview.prune({})", batch));
    const std::int64_t deleted = pruned.integer(0, 0);
    total += deleted;
    if (deleted < batch || std::chrono::steady_clock::now() - began > patience) co_return total;
  }
}

}  // namespace matview::store
