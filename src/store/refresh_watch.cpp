#include "store/refresh_watch.hpp"

#include "store/incremental_catalog.hpp"

#include <boost/algorithm/string/replace.hpp>
#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace matview::store {

namespace {

// A refresh of an incremental view leaves its row of pg_class as it was, and moves the watermark.
// It holds the turn rather than a lock on the view.
constexpr std::string_view look_sql = R"(
select c.oid, n.nspname, c.relname,
       pg_catalog.concat_ws(' ', c.oid, c.xmin, c.relfilenode, {watermark}), l.held,
       case when not l.held then pg_catalog.pg_table_size(
              case c.relkind when 'm' then c.oid else {storage_of} end) end
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 cross join lateral (
   select exists (select from pg_catalog.pg_locks l
                   where l.granted
                     and (l.relation = c.oid and l.mode in ('ExclusiveLock', 'AccessExclusiveLock')
                          or c.relkind = 'v' and l.locktype = 'advisory' and l.objsubid = 2
                             and l.classid = $4::pg_catalog.oid and l.objid = c.oid)
                     and l.database = (select d.oid from pg_catalog.pg_database d
                                        where d.datname = pg_catalog.current_database()))) l(held)
 where (c.relkind = 'm' or {is_incremental}) and (c.oid = $1::pg_catalog.oid or (n.nspname = $2 and c.relname = $3))
 order by n.nspname = $2 and c.relname = $3 desc
 limit 1)";

constexpr std::string_view watermark_sql =
    "(select i.watermark_xid::pg_catalog.text from matview.incremental i "
    "where i.view::pg_catalog.oid = c.oid)";

// A refresh writes into a new table, which only its own session sees in pg_class. Others see that a
// lock is held on something that is not there for them, and the file: a new table's has its oid for
// a name, and lies where the view's file lies. A file of more than a gigabyte goes on in another
// one.
constexpr std::string_view written_sql = R"((
   select pg_catalog.sum(f.bytes)::pg_catalog.int8
     from pg_catalog.pg_locks l
    cross join lateral (
      with recursive segment(number, bytes) as (
        select 0, (pg_catalog.pg_stat_file(path.base || l.relation, true)).size
        union all
        select s.number + 1,
               (pg_catalog.pg_stat_file(
                  pg_catalog.concat(path.base, l.relation, '.', s.number + 1), true)).size
          from segment s where s.bytes = 1073741824)
      select pg_catalog.sum(s.bytes) from segment s) f(bytes)
    where l.pid = a.pid and l.locktype = 'relation' and l.mode = 'AccessExclusiveLock'
      and not exists (select from pg_catalog.pg_class c where c.oid = l.relation)))";

// pg_blocking_pids() stops the lock manager for a moment: only where somebody waits.
constexpr std::string_view watch_sql = R"(
select {},
       case when a.wait_event_type = 'Lock' then (
         select pg_catalog.string_agg(b.told, pg_catalog.chr(10))
           from (select pg_catalog.format('pid %s (%s, %s): %s', b.pid,
                          coalesce(nullif(b.application_name, ''), '?'), coalesce(b.usename, '?'),
                          pg_catalog.left(pg_catalog.regexp_replace(
                            case when b.state like 'idle in transaction%'
                                 then 'idle in transaction after ' else '' end || b.query,
                            '[[:space:]]+', ' ', 'g'), 120))
                   from pg_catalog.pg_stat_activity b
                  where b.pid = any (pg_catalog.pg_blocking_pids(a.pid))
                  order by b.xact_start
                  limit 3) b(told)) end
  from rows from (pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.text[]))
         with ordinality w(view, activity, number)
  left join lateral (
    select a.pid, a.wait_event_type
      from pg_catalog.pg_stat_activity a
     where a.application_name = pg_catalog.left(w.activity, 63) and a.state = 'active'
       and a.datname = pg_catalog.current_database()
     order by a.xact_start desc
     limit 1) a on true
 cross join lateral pg_catalog.regexp_replace(
   pg_catalog.pg_relation_filepath(w.view), '[^/]+$', '') path(base)
 order by w.number)";

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    out.emplace_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return out;
}

}  // namespace

asio::awaitable<std::optional<view_state>> look_at(pg::connection& on, const graph_node& view,
                                                   int turn_class) {
  std::vector<pg::parameter> values{fmt::format("{}", view.oid), view.schema, view.name,
                                    fmt::format("{}", turn_class)};
  const bool incremental = view.kind == node_kind::incremental_view;
  std::string sql = with_incremental(look_sql);
  boost::algorithm::replace_all(sql, "{watermark}", incremental ? watermark_sql : "null");
  const pg::result found = co_await on.query(std::move(sql), std::move(values));
  if (found.rows() == 0) co_return std::nullopt;
  co_return view_state{
      .oid = static_cast<std::uint32_t>(found.integer(0, 0)),
      .schema = found.string(0, 1),
      .name = found.string(0, 2),
      .version = found.string(0, 3),
      .being_refreshed = found.boolean(0, 4),
      .bytes = found.is_null(0, 5) ? std::nullopt : std::optional(found.integer(0, 5))};
}

asio::awaitable<bool> may_see_files(pg::connection& on) {
  const pg::result told = co_await on.query(
      "select pg_catalog.has_function_privilege('pg_catalog.pg_stat_file(text, boolean)', "
      "'EXECUTE')");
  co_return told.boolean(0, 0);
}

asio::awaitable<std::vector<refresh_sight>> watch(pg::connection& on,
                                                  const std::vector<watched_refresh>& refreshes,
                                                  bool sees_files) {
  std::vector<std::string> oids;
  std::vector<std::string> activities;
  for (const watched_refresh& one : refreshes) {
    oids.push_back(fmt::format("{}", one.oid));
    activities.push_back(one.activity);
  }
  std::vector<pg::parameter> values{pg::array_literal(oids), pg::array_literal(activities)};
  // The right to call pg_stat_file() is asked for even where it is not called.
  std::string sql = fmt::format(fmt::runtime(watch_sql), sees_files ? written_sql : "null");
  const pg::result seen = co_await on.query(std::move(sql), std::move(values));
  std::vector<refresh_sight> out;
  out.reserve(static_cast<std::size_t>(seen.rows()));
  for (int row = 0; row < seen.rows(); ++row) {
    out.push_back(
        {.new_bytes = seen.is_null(row, 0) ? std::nullopt : std::optional(seen.integer(row, 0)),
         .blocked_by = lines_of(seen.text(row, 1))});
  }
  co_return out;
}

}  // namespace matview::store
