#include "store/status_catalog.hpp"

#include "store/history.hpp"
#include "store/incremental_catalog.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <string_view>
#include <utility>

namespace matview::store {

namespace {

// Not by to_regclass(), which fails where the role may not use the schema.
constexpr std::string_view access_sql = R"(
select pg_catalog.pg_is_in_recovery(),
       exists (select from pg_catalog.pg_namespace where nspname = 'matview'),
       pg_catalog.count(*) filter (where readable and relname in ('view', 'refresh')) = 2,
       pg_catalog.count(*) filter (where readable and relname = 'schedule') = 1
  from (select c.relname, pg_catalog.has_schema_privilege(n.oid, 'USAGE')
               and pg_catalog.has_table_privilege(c.oid, 'SELECT') as readable
          from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where n.nspname = 'matview' and c.relname in ('view', 'refresh', 'schedule')) as own)";

constexpr std::string_view names_sql = R"(
select c.oid::pg_catalog.int8, c.relkind,
       case when c.oid is not null then pg_catalog.format('%I.%I', n.nspname, c.relname) end,
       c.oid is not null and {is_incremental}
  from pg_catalog.unnest($1::pg_catalog.text[]) with ordinality as q(name, place)
  left join pg_catalog.pg_class c on c.oid = pg_catalog.to_regclass(q.name)
  left join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 order by q.place)";

// The size of a view is found under a lock that waits for a full refresh of it: not asked for then.
// A refresh of ours holds its turn; one by others is known by its lock and its statement, whose
// text and start are hidden from roles without the right to see them.
constexpr std::string_view facts_sql = R"(
with lock as materialized (
  select l.locktype, l.mode, l.granted, l.pid, l.classid, l.objid, l.objsubid, l.relation
    from pg_catalog.pg_locks l
   where l.locktype in ('relation', 'advisory')
     and l.database = (select d.oid from pg_catalog.pg_database d
                        where d.datname = pg_catalog.current_database())
), refreshing as materialized (
  select distinct on (held.view) held.view, since.at,
         pg_catalog.format('pid %s (%s, %s)', a.pid, coalesce(nullif(a.application_name, ''), '?'),
                           coalesce(a.usename, '?')) as who
    from (select l.objid as view, l.pid, true as ours from lock l
           where l.granted and l.locktype = 'advisory' and l.objsubid = 2
             and l.classid = $3::pg_catalog.oid
          union all
          select l.relation, l.pid, false from lock l
           where l.granted and l.locktype = 'relation'
             and l.mode in ('ExclusiveLock', 'AccessExclusiveLock')) as held
    join pg_catalog.pg_stat_activity a on a.pid = held.pid
   cross join lateral (select case when a.query ~* '^\s*refresh' then a.query_start
                                   else a.xact_start end as at) as since
   where a.pid <> pg_catalog.pg_backend_pid() and (held.ours or a.query ~* '^\s*refresh')
   order by held.view, since.at nulls last
)
select c.oid::pg_catalog.int8, n.nspname, c.relname, c.relispopulated,
       case when not exists (select from lock l
                              where l.relation = held.oid and l.mode = 'AccessExclusiveLock')
            then pg_catalog.pg_total_relation_size(held.oid) end,
       (extract(epoch from pg_catalog.clock_timestamp()) * 1000000)::pg_catalog.int8,
       coalesce(r.who, ''), (extract(epoch from r.at) * 1000000)::pg_catalog.int8,
       c.relkind = 'v'
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  left join refreshing r on r.view = c.oid
 cross join lateral (
   select coalesce(case c.relkind when 'v' then {storage_of} end, c.oid) as oid) as held
 where (c.relkind = 'm' or {is_incremental}) and not {is_helper}
   and case when pg_catalog.cardinality($1::pg_catalog.oid[]) > 0
            then c.oid = any ($1::pg_catalog.oid[])
            when pg_catalog.cardinality($2::pg_catalog.text[]) > 0
            then n.nspname = any ($2::pg_catalog.text[])
            else pg_catalog.has_schema_privilege(n.oid, 'USAGE') end
 order by n.nspname collate "C", c.relname collate "C")";

// state_of() has an alias c of its own.
//
// The row of pg_class is read by the statement that reads what it was like: between two of them a
// refresh of ours could end, which would look like somebody else's.
//
// A standby's counters are its own. What they say is put aside there, so that only a new file
// counts as a refresh.
//
// History is of names; what is told of the last refresh must be of this view, not of one that had
// its name. Failures may be rare and history long, so only the newest rows are searched for one.
constexpr std::string_view memory_sql = R"(
select w.oid::pg_catalog.int8, v.oid::pg_catalog.int8,
       (extract(epoch from v.data_as_of) * 1000000)::pg_catalog.int8,
       coalesce(v.sources::pg_catalog.text, ''), coalesce(v.state::pg_catalog.text, ''),
       coalesce((case when pg_catalog.pg_is_in_recovery()
                      then here.state || pg_catalog.jsonb_build_object(
                             'writes', v.state -> 'writes', 'scans', v.state -> 'scans')
                      else here.state end)::pg_catalog.text, ''),
       (extract(epoch from done.started_at) * 1000000)::pg_catalog.int8,
       (extract(epoch from done.finished_at) * 1000000)::pg_catalog.int8,
       coalesce(done.mode, ''), coalesce(done.asked_by, ''), done.rows_after,
       usual.median, usual.deviation, coalesce(usual.refreshes, 0),
       (extract(epoch from failed.finished_at) * 1000000)::pg_catalog.int8,
       coalesce(failed.sqlstate, ''), coalesce(failed.error, '')
  from pg_catalog.pg_class w
  join pg_catalog.pg_namespace n on n.oid = w.relnamespace
 cross join lateral (select {state} as state) as here
  left join matview.view v on v.schema = n.nspname and v.name = w.relname
  left join lateral (
    select r.* from matview.refresh r
     where r.schema = n.nspname and r.name = w.relname and r.outcome = 'done' and r.mode <> 'none'
       and r.oid = w.oid
     order by r.started_at desc limit 1) as done on true
  left join lateral (
    with last as (
      select extract(epoch from r.finished_at - r.started_at)::pg_catalog.float8 as took
        from matview.refresh r
       where r.schema = n.nspname and r.name = w.relname and r.outcome = 'done'
         and r.mode <> 'none'
       order by r.started_at desc limit 20),
    middle as (
      select pg_catalog.percentile_cont(0.5) within group (order by took) as median,
             pg_catalog.count(*) as refreshes from last)
    select m.median, m.refreshes,
           (select pg_catalog.percentile_cont(0.5)
                     within group (order by pg_catalog.abs(l.took - m.median))
              from last l) as deviation
      from middle m) as usual on true
  left join lateral (
    select newest.* from (
      select r.outcome, r.finished_at, r.sqlstate, r.error, r.oid, r.started_at
        from matview.refresh r
       where r.schema = n.nspname and r.name = w.relname
       order by r.started_at desc limit 1000) as newest
     where newest.outcome in ('failed', 'in doubt') and coalesce(newest.oid, w.oid) = w.oid
     order by newest.started_at desc limit 1) as failed on true
 where w.oid = any ($1::pg_catalog.oid[]))";

// A name in the arguments is by the rule of an identifier: it has no dot but the one, and its case
// counts. Not by to_regclass(), which fails where the role may not use the schema.
constexpr std::string_view schedules_sql = R"(
select c.oid::pg_catalog.int8, s.name,
       (extract(epoch from s.next_at) * 1000000)::pg_catalog.int8, s.paused_at is not null
  from matview.schedule s
  join pg_catalog.pg_class c on c.oid = any ($1::pg_catalog.oid[])
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where s.task = 'refresh'
   and case when s.args ->> 'view' like '%.%' then s.args ->> 'view' = n.nspname || '.' || c.relname
            else s.args ->> 'view' = c.relname and pg_catalog.pg_table_is_visible(c.oid) end
 order by s.paused_at is not null, s.next_at, s.name collate "C")";

// g++ 12 cannot compile a braced list inside a co_await expression.
std::vector<pg::parameter> one_value(std::string value) {
  std::vector<pg::parameter> out;
  out.emplace_back(std::move(value));
  return out;
}

std::string oid_array(const std::vector<std::int64_t>& oids) {
  return fmt::format("{{{}}}", fmt::join(oids, ","));
}

std::optional<std::int64_t> integer_at(const pg::result& from, int row, int column) {
  return from.is_null(row, column) ? std::nullopt : std::optional(from.integer(row, column));
}

std::optional<double> real_at(const pg::result& from, int row, int column) {
  return from.is_null(row, column) ? std::nullopt
                                   : std::optional(std::stod(from.string(row, column)));
}

template <class Row>
std::vector<Row> all(const pg::result& from, Row (*row_at)(const pg::result&, int)) {
  std::vector<Row> out;
  out.reserve(static_cast<std::size_t>(from.rows()));
  for (int row = 0; row < from.rows(); ++row) out.push_back(row_at(from, row));
  return out;
}

named_relation relation_at(const pg::result& from, int row) {
  if (from.is_null(row, 0)) return {};
  return {.oid = from.integer(row, 0),
          .kind = from.text(row, 1).front(),
          .incremental = from.boolean(row, 3),
          .quoted = from.string(row, 2)};
}

status_facts facts_at(const pg::result& from, int row) {
  return {.oid = from.integer(row, 0),
          .schema = from.string(row, 1),
          .name = from.string(row, 2),
          .populated = from.boolean(row, 3),
          .bytes = integer_at(from, row, 4),
          .now = from.integer(row, 5),
          .refreshed_by = from.string(row, 6),
          .refreshed_since = integer_at(from, row, 7),
          .incremental = from.boolean(row, 8)};
}

status_memory memory_at(const pg::result& from, int row) {
  return {.view = from.integer(row, 0),
          .known_oid = integer_at(from, row, 1),
          .data_as_of = integer_at(from, row, 2),
          .sources = from.string(row, 3),
          .state = from.string(row, 4),
          .now = from.string(row, 5),
          .started = integer_at(from, row, 6),
          .finished = integer_at(from, row, 7),
          .mode = from.string(row, 8),
          .asked_by = from.string(row, 9),
          .rows = integer_at(from, row, 10),
          .median = real_at(from, row, 11),
          .deviation = real_at(from, row, 12),
          .refreshes = static_cast<int>(from.integer(row, 13)),
          .failed_at = integer_at(from, row, 14),
          .sqlstate = from.string(row, 15),
          .error = from.string(row, 16)};
}

status_schedule schedule_at(const pg::result& from, int row) {
  return {.view = from.integer(row, 0),
          .name = from.string(row, 1),
          .next_at = integer_at(from, row, 2),
          .paused = from.boolean(row, 3)};
}

}  // namespace

asio::awaitable<status_access> read_status_access(pg::connection& on) {
  const pg::result found = co_await on.query(std::string(access_sql));
  status_access out;
  out.standby = found.boolean(0, 0);
  out.schema = found.boolean(0, 1);
  out.history = found.boolean(0, 2);
  out.schedules = found.boolean(0, 3);
  co_return out;
}

asio::awaitable<std::vector<named_relation>> find_relations(
    pg::connection& on, const std::vector<std::string>& quoted) {
  auto values = one_value(pg::array_literal(quoted));
  const pg::result found = co_await on.query(with_incremental(names_sql), std::move(values));
  co_return all<named_relation>(found, relation_at);
}

asio::awaitable<std::vector<status_facts>> read_status_facts(
    pg::connection& on, const std::vector<std::int64_t>& oids,
    const std::vector<std::string>& schemas, int turn_class) {
  auto values = one_value(oid_array(oids));
  values.emplace_back(pg::array_literal(schemas));
  values.emplace_back(fmt::format("{}", turn_class));
  const pg::result found = co_await on.query(with_incremental(facts_sql), std::move(values));
  co_return all<status_facts>(found, facts_at);
}

asio::awaitable<std::vector<status_memory>> read_status_memory(
    pg::connection& on, const std::vector<std::int64_t>& views) {
  std::string sql(memory_sql);
  constexpr std::string_view place = "{state}";
  sql.replace(sql.find(place), place.size(), state_of("w.oid"));
  auto values = one_value(oid_array(views));
  const pg::result found = co_await on.query(std::move(sql), std::move(values));
  co_return all<status_memory>(found, memory_at);
}

asio::awaitable<std::vector<status_schedule>> read_status_schedules(
    pg::connection& on, const std::vector<std::int64_t>& views) {
  auto values = one_value(oid_array(views));
  const pg::result found = co_await on.query(std::string(schedules_sql), std::move(values));
  co_return all<status_schedule>(found, schedule_at);
}

}  // namespace matview::store
