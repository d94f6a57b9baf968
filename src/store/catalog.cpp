#include "store/catalog.hpp"

#include "pg/transaction.hpp"
#include "store/incremental.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>

namespace matview::store {

namespace {

constexpr std::string_view relation_sql = R"(
select pg_catalog.format('%I.%I', n.nspname, c.relname), c.relkind, c.relispopulated, {0},
       pg_catalog.pg_get_userbyid(c.relowner), pg_catalog.pg_has_role(c.relowner, 'USAGE'), {1},
       case when {1} then (select pg_catalog.pg_get_userbyid(s.relowner) from pg_catalog.pg_class s
                            where s.oid = {2} and not pg_catalog.pg_has_role(s.relowner, 'USAGE')) end
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.oid = pg_catalog.to_regclass($1))";

// The size of a view is found under a lock that waits for a full refresh of it: not asked for then.
constexpr std::string_view list_sql = R"(
select n.nspname, c.relname, pg_catalog.pg_get_userbyid(c.relowner), c.relispopulated,
       c.relispopulated and (c.relkind = 'v' or {0}),
       case when not exists (select from pg_catalog.pg_locks l
                              where l.relation = c.oid and l.mode = 'AccessExclusiveLock')
            then pg_catalog.pg_total_relation_size(
              coalesce(case c.relkind when 'v' then {2} end, c.oid)) end,
       coalesce(pg_catalog.obj_description(c.oid, 'pg_class'), ''), c.relkind = 'v'
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where (c.relkind = 'm' or {1}) and n.nspname = $1
 order by c.relname collate "C")";

constexpr std::string_view holders_sql = R"(
select pg_catalog.format('pid %s (%s, %s): %s', a.pid, coalesce(nullif(a.application_name, ''), '?'),
                         coalesce(a.usename, '?'),
                         pg_catalog.left(pg_catalog.regexp_replace(
                           case when a.state like 'idle in transaction%'
                                then 'idle in transaction after ' else '' end || a.query,
                           '\s+', ' ', 'g'), 120))
  from pg_catalog.pg_stat_activity a
 where a.pid <> pg_catalog.pg_backend_pid()
   and a.pid in (select l.pid from pg_catalog.pg_locks l
                  where l.relation = pg_catalog.to_regclass($1) and l.granted
                    and l.database = (select d.oid from pg_catalog.pg_database d
                                       where d.datname = pg_catalog.current_database()))
 order by a.xact_start
 limit 3)";

constexpr std::string_view columns_sql = R"(
select pg_catalog.quote_ident(a.attname)
  from pg_catalog.pg_attribute a
 where a.attrelid = pg_catalog.to_regclass($1) and a.attnum > 0 and not a.attisdropped
 order by a.attnum
 limit 8)";

// g++ 12 cannot compile a braced list inside a co_await expression.
std::vector<pg::parameter> one_value(std::string value) {
  std::vector<pg::parameter> out;
  out.emplace_back(std::move(value));
  return out;
}

// Columns alone come first, then growing prefixes: (a), (b), (c), (a, b), (a, b, c).
std::vector<std::vector<std::string>> candidates(const std::vector<std::string>& columns) {
  std::vector<std::vector<std::string>> out;
  out.reserve(2 * columns.size());
  for (const std::string& column : columns) out.push_back({column});
  for (std::size_t size = 2; size <= columns.size(); ++size) {
    out.emplace_back(columns.begin(), columns.begin() + static_cast<long>(size));
  }
  return out;
}

// Whether no two rows of the view agree in these columns and none has a NULL there. A type that
// cannot be compared and a lack of time count as no.
asio::awaitable<bool> distinguishes(pg::connection& on, const relation& view,
                                    const std::vector<std::string>& columns,
                                    std::chrono::milliseconds limit) {
  pg::transaction probe(on);
  bool answer = false;
  try {
    const std::vector<pg::result> answers = co_await probe.run(fmt::format(
        "SET LOCAL statement_timeout = {}; SELECT pg_catalog.count(*) = 0 FROM (SELECT FROM {} "
        "GROUP BY {} HAVING pg_catalog.count(*) > 1 OR ({}) IS NULL LIMIT 1) AS repeated",
        limit.count(), view.quoted, fmt::join(columns, ", "),
        fmt::join(columns, ") IS NULL OR (")));
    answer = answers.at(1).boolean(0, 0);
  } catch (const error& failed) {
    if (!failed.connection_usable()) throw;
  }
  co_await probe.rollback();
  co_return answer;
}

}  // namespace

error no_such_view(const identifier& name, const std::optional<relation>& found) {
  return {errc::view_not_found,
          found
              ? fmt::format("{} is {}, not a materialized view", found->quoted, found->described())
              : fmt::format("there is no materialized view {}", name.quoted()),
          {.hint = "matview list shows those there are; names are case-sensitive"}};
}

error parts_refused(const relation& view, const error& failed) {
  return {
      errc::permission_denied,
      fmt::format("the parts of {} in the schema matview belong to {}: {}", view.quoted,
                  view.parts_of_another, failed.what()),
      {.sqlstate = failed.sqlstate(),
       .hint = fmt::format("run as {0}, or as a member of that role; to drop or convert it takes "
                           "both, or ALTER VIEW {1} OWNER TO {0} "
                           "before",
                           view.parts_of_another, view.quoted)}};
}

asio::awaitable<std::optional<relation>> find_relation(pg::connection& on, const identifier& name) {
  const pg::result found = co_await on.query(
      fmt::format(fmt::runtime(relation_sql), usable_unique_index, is_incremental, storage_of),
      one_value(name.quoted()));
  if (found.rows() == 0) co_return std::nullopt;
  co_return relation{.quoted = found.string(0, 0),
                     .kind = found.text(0, 1).front(),
                     .populated = found.boolean(0, 2),
                     .unique_index = found.boolean(0, 3),
                     .owner = found.string(0, 4),
                     .may_act_as_owner = found.boolean(0, 5),
                     .incremental = found.boolean(0, 6),
                     .parts_of_another = found.is_null(0, 7) ? "" : found.string(0, 7)};
}

std::string_view kind_name(char relkind) noexcept {
  switch (relkind) {
    case 'm':
      return "a materialized view";
    case 'v':
      return "a plain view";
    case 'r':
    case 'p':
      return "a table";
    case 'f':
      return "a foreign table";
    case 'i':
    case 'I':
      return "an index";
    case 'S':
      return "a sequence";
    case 'c':
      return "a composite type";
    default:
      return "another kind of relation";
  }
}

std::string_view relation::described() const noexcept {
  return incremental ? "an incremental view" : kind_name(kind);
}

asio::awaitable<std::vector<matview_info>> list_matviews(pg::connection& on, std::string schema) {
  const pg::result found = co_await on.query(
      fmt::format(fmt::runtime(list_sql), usable_unique_index, is_incremental, storage_of),
      one_value(std::move(schema)));
  std::vector<matview_info> out;
  out.reserve(static_cast<std::size_t>(found.rows()));
  for (int row = 0; row < found.rows(); ++row) {
    out.push_back(
        {.schema = found.string(row, 0),
         .name = found.string(row, 1),
         .owner = found.string(row, 2),
         .populated = found.boolean(row, 3),
         .can_refresh_concurrently = found.boolean(row, 4),
         .bytes = found.is_null(row, 5) ? std::nullopt : std::optional(found.integer(row, 5)),
         .comment = found.string(row, 6),
         .kind = found.boolean(row, 7) ? view_kind::incremental : view_kind::native});
  }
  co_return out;
}

asio::awaitable<std::vector<std::string>> lock_holders(pg::connection& on, const identifier& name) {
  const pg::result found = co_await on.query(std::string(holders_sql), one_value(name.quoted()));
  std::vector<std::string> out;
  out.reserve(static_cast<std::size_t>(found.rows()));
  for (int row = 0; row < found.rows(); ++row) out.push_back(found.string(row, 0));
  co_return out;
}

asio::awaitable<std::vector<std::string>> unique_columns(pg::connection& on, const relation& view,
                                                         int limit_ms) {
  const pg::result listed = co_await on.query(std::string(columns_sql), one_value(view.quoted));
  std::vector<std::string> columns;
  columns.reserve(static_cast<std::size_t>(listed.rows()));
  for (int row = 0; row < listed.rows(); ++row) columns.push_back(listed.string(row, 0));
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(limit_ms);
  for (const std::vector<std::string>& candidate : candidates(columns)) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    if (left.count() <= 0) break;
    const bool found = co_await distinguishes(on, view, candidate, left);
    if (found) co_return candidate;
  }
  co_return std::vector<std::string>{};
}

}  // namespace matview::store
