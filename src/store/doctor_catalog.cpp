#include "store/doctor_catalog.hpp"

#include "store/incremental_catalog.hpp"
#include <matview/error.hpp>

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace matview::store {

namespace {

constexpr int maintain_version = 170'000;

constexpr std::string_view server_sql = R"(
select pg_catalog.quote_ident(current_user),
       pg_catalog.quote_ident(pg_catalog.current_database()),
       pg_catalog.current_setting('block_size')::pg_catalog.int8,
       pg_catalog.current_setting('track_counts')::pg_catalog.bool,
       pg_catalog.floor(extract(epoch from pg_catalog.now() - since.at))::pg_catalog.int8,
       pg_catalog.to_char(since.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
  from pg_catalog.pg_stat_database d,
       -- A server that crashed has forgotten what it counted, and does not say so.
       lateral (select greatest(d.stats_reset, pg_catalog.pg_postmaster_start_time()) as at) as since
 where d.datname = pg_catalog.current_database())";

// `h` is what holds the rows: the view itself, or the storage of an incremental one.
//
// What an index needs for REFRESH ... CONCURRENTLY, but for being valid: as in catalog.cpp.
constexpr std::string_view views_sql = R"(
select c.oid, n.nspname, c.relname, pg_catalog.format('%I.%I', n.nspname, c.relname),
       pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(c.relowner)),
       c.relispopulated, index.usable, index.invalid, index.valid,
       pg_catalog.has_database_privilege(c.relowner, pg_catalog.current_database(), 'TEMPORARY'),
       case c.relkind when 'm' then pg_catalog.pg_has_role(c.relowner, 'USAGE') {maintain}
            else pg_catalog.has_table_privilege(h.oid, 'INSERT')
                 and pg_catalog.has_table_privilege(h.oid, 'UPDATE')
                 and pg_catalog.has_table_privilege(h.oid, 'DELETE') end,
       pg_catalog.has_table_privilege(c.oid, 'SELECT'),
       h.reltuples, h.relallvisible,
       case when not exists (select from pg_catalog.pg_locks l
                              where l.relation = h.oid and l.mode = 'AccessExclusiveLock'
                                and l.database = (select d.oid from pg_catalog.pg_database d
                                                   where d.datname = pg_catalog.current_database()))
            then pg_catalog.pg_relation_size(h.oid)
                 / pg_catalog.current_setting('block_size')::pg_catalog.int8 end,
       (select case when pg_catalog.count(s.avg_width) = pg_catalog.count(*)
                    then pg_catalog.sum(pg_catalog.ceil(s.avg_width::pg_catalog.numeric / a.step)
                                        * a.step) end
          from (select attname, case attalign when 'd' then 8 when 'i' then 4 when 's' then 2
                                              else 1 end as step
                  from pg_catalog.pg_attribute
                 where attrelid = h.oid and attnum > 0 and not attisdropped) as a
          left join pg_catalog.pg_stats s
            on s.schemaname = h.nspname and s.tablename = h.relname and s.attname = a.attname),
       coalesce((select o.option_value::pg_catalog.float8 / 100
                   from pg_catalog.pg_options_to_table(h.reloptions) as o
                  where o.option_name = 'fillfactor'), 1),
       pg_catalog.pg_stat_get_live_tuples(h.oid), pg_catalog.pg_stat_get_dead_tuples(h.oid),
       pg_catalog.pg_stat_get_mod_since_analyze(h.oid),
       coalesce(pg_catalog.pg_stat_get_last_analyze_time(h.oid),
                pg_catalog.pg_stat_get_last_autoanalyze_time(h.oid)) is not null,
       pg_catalog.pg_stat_get_numscans(h.oid) + coalesce(index.scans, 0),
       (select pg_catalog.count(*)
          from pg_catalog.pg_depend d
          left join pg_catalog.pg_rewrite w
            on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and w.oid = d.objid
         where d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid = c.oid
           and d.deptype = 'n' and w.ev_class is distinct from c.oid),
       c.relkind = 'v', pg_catalog.format('%I.%I', h.nspname, h.relname)
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  cross join lateral (
    select t.*, s.nspname
      from pg_catalog.pg_class t join pg_catalog.pg_namespace s on s.oid = t.relnamespace
     where t.oid = case c.relkind when 'm' then c.oid else {storage_of} end) as h
  cross join lateral (
    select coalesce(pg_catalog.bool_or(i.indisvalid and fits), false) as usable,
           pg_catalog.min(i.indexrelid::pg_catalog.regclass::pg_catalog.text)
             filter (where fits and not i.indisvalid) as invalid,
           pg_catalog.count(*) filter (where i.indisvalid) as valid,
           pg_catalog.sum(pg_catalog.pg_stat_get_numscans(i.indexrelid))::pg_catalog.int8 as scans
      from pg_catalog.pg_index i,
           lateral (select i.indisunique and i.indimmediate and i.indpred is null
                           and i.indexprs is null as fits) as f
     where i.indrelid = h.oid) as index
 where (c.relkind = 'm' or {is_incremental}) and not {is_helper}
   and case when pg_catalog.cardinality($1::pg_catalog.text[]) > 0
            then c.oid = any (select pg_catalog.to_regclass(q)::pg_catalog.oid
                                from pg_catalog.unnest($1::pg_catalog.text[]) as q)
            when pg_catalog.cardinality($2::pg_catalog.text[]) > 0
            then n.nspname = any ($2::pg_catalog.text[])
            else pg_catalog.has_schema_privilege(n.oid, 'USAGE') end
 order by n.nspname collate "C", c.relname collate "C")";

// The rules that run when a view of $1 is refreshed: its own, and those of the plain views that it
// reads, down to tables. `role` is whose rights count there: what a plain view reads is read as its
// owner, or with security_invoker as who refreshes, which is the materialized view's owner. The
// query of an incremental view is that of its definition.
constexpr std::string_view rules_sql = R"(
with recursive rule (view, owner, class, role, oid) as (
  select c.oid, c.relowner, w.ev_class, c.relowner, w.oid
    from pg_catalog.pg_class c
    join pg_catalog.pg_rewrite w
      on w.ev_class = case c.relkind when 'v' then {definition_of} else c.oid end
   where c.oid = any ($1::pg_catalog.oid[])
  union
  select r.view, r.owner, below.oid,
         case when exists (select from pg_catalog.pg_options_to_table(below.reloptions) as o
                            where o.option_name = 'security_invoker'
                              and o.option_value::pg_catalog.bool)
              then r.owner else below.relowner end,
         w.oid
    from rule r
    join pg_catalog.pg_depend d
      on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.objid = r.oid
     and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid <> r.class
    join pg_catalog.pg_class below on below.oid = d.refobjid and below.relkind = 'v'
    join pg_catalog.pg_rewrite w on w.ev_class = below.oid and w.ev_type = '1'
)
)";

// Dependencies on what comes with PostgreSQL are not recorded, so the stored trees themselves are
// searched for functions: they hold oids, which no name can imitate.
constexpr std::string_view functions_sql = R"(
, tree (view, owner, index, text) as (
  select distinct r.view, r.owner, '', w.ev_action::pg_catalog.text
    from rule r join pg_catalog.pg_rewrite w on w.oid = r.oid
  union all
  select c.oid, c.relowner, i.indexrelid::pg_catalog.regclass::pg_catalog.text,
         pg_catalog.concat_ws(' ', i.indexprs::pg_catalog.text, i.indpred::pg_catalog.text)
    from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indrelid
   where i.indrelid = any ($1::pg_catalog.oid[])
), used as (
  select t.view, t.owner, pg_catalog.min(t.index) as index, m[1]::pg_catalog.oid as id
    from tree t,
         pg_catalog.regexp_matches(t.text, ':(?:funcid|opfuncid|aggfnoid|winfnoid) ([1-9][0-9]*)',
                                   'g') as m
   group by t.view, t.owner, m[1]
)
select u.view,
       pg_catalog.format('%I.%I(%s)', n.nspname, p.proname,
                         pg_catalog.pg_get_function_identity_arguments(p.oid)),
       p.proname, n.nspname, u.index, l.lanname,
       case when l.lanname in ('sql', 'plpgsql') and n.nspname <> 'pg_catalog' then p.prosrc
            else '' end,
       exists (select from pg_catalog.unnest(p.proconfig) as c where c like 'search\_path=%'),
       p.provolatile,
       pg_catalog.has_function_privilege(u.owner, p.oid, 'EXECUTE')
  from used u
  join pg_catalog.pg_proc p on p.oid = u.id
  join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  join pg_catalog.pg_language l on l.oid = p.prolang
 order by u.view, 2)";

constexpr std::string_view called_sql = R"(
select 0,
       pg_catalog.format('%I.%I(%s)', n.nspname, p.proname,
                         pg_catalog.pg_get_function_identity_arguments(p.oid)),
       p.proname, n.nspname, '', l.lanname, p.prosrc,
       exists (select from pg_catalog.unnest(p.proconfig) as c where c like 'search\_path=%'),
       p.provolatile, true
  from rows from (pg_catalog.unnest($1::pg_catalog.text[]),
                  pg_catalog.unnest($2::pg_catalog.text[])) as asked (schema, name)
  join pg_catalog.pg_namespace n on n.nspname = asked.schema
  join pg_catalog.pg_proc p on p.pronamespace = n.oid and p.proname = asked.name
  join pg_catalog.pg_language l on l.oid = p.prolang
 where l.lanname in ('sql', 'plpgsql') and n.nspname <> 'pg_catalog'
 order by 2)";

// 0 to 8 are the members of SQLValueFunctionOp that tell the time, in all versions from 10 on.
constexpr std::string_view expressions_sql = R"(
select distinct r.view, word
  from rule r
  join pg_catalog.pg_rewrite w on w.oid = r.oid
  cross join lateral (
    select (array['CURRENT_DATE', 'CURRENT_TIME', 'CURRENT_TIME', 'CURRENT_TIMESTAMP',
                  'CURRENT_TIMESTAMP', 'LOCALTIME', 'LOCALTIME', 'LOCALTIMESTAMP',
                  'LOCALTIMESTAMP'])[1 + m[1]::pg_catalog.int4]
      from pg_catalog.regexp_matches(w.ev_action::pg_catalog.text,
                                     '\{SQLVALUEFUNCTION :op ([0-8]) ', 'g') as m
    union all
    select 'TABLESAMPLE'
     where w.ev_action::pg_catalog.text ~ '\{TABLESAMPLECLAUSE [^{}]*:args .*:repeatable <>'
  ) as found (word)
 order by 1, 2)";

constexpr std::string_view unreadable_sql = R"(
select distinct r.view, pg_catalog.format('%I.%I', n.nspname, t.relname),
       pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(r.role))
  from rule r
  join pg_catalog.pg_depend d
    on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.objid = r.oid
   and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid <> r.class
  join pg_catalog.pg_class t on t.oid = d.refobjid and t.relkind in ('r', 'p', 'v', 'm', 'f')
  join pg_catalog.pg_namespace n on n.oid = t.relnamespace
 where not case when d.refobjsubid > 0
                then pg_catalog.has_column_privilege(r.role, t.oid,
                                                     d.refobjsubid::pg_catalog.int2, 'SELECT')
                else pg_catalog.has_any_column_privilege(r.role, t.oid, 'SELECT') end
 order by 1, 2)";

constexpr std::string_view names_sql = R"(
select sort, name, schema
  from (select distinct asked.sort, asked.name, pg_catalog.quote_ident(n.nspname) as schema,
               pg_catalog.bool_or(n.nspname = 'pg_catalog')
                 over (partition by asked.sort, asked.name) as built_in
          from rows from (pg_catalog.unnest($1::pg_catalog.text[]),
                          pg_catalog.unnest($2::pg_catalog.text[])) as asked (sort, name)
          cross join lateral (
            select c.relnamespace from pg_catalog.pg_class c
             where asked.sort = 'r' and c.relname = asked.name
               and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
            union
            select p.pronamespace from pg_catalog.pg_proc p
             where asked.sort = 'f' and p.proname = asked.name
            union
            select t.typnamespace from pg_catalog.pg_type t
             where asked.sort = 't' and t.typname = asked.name) as found (schema)
          join pg_catalog.pg_namespace n on n.oid = found.schema
         where n.nspname not like 'pg\_temp\_%' and n.nspname not like 'pg\_toast%') as found
 where not built_in
 order by sort, name, schema collate "C")";

constexpr std::string_view own_tables_sql = R"(
select s.id is not null,
       coalesce(pg_catalog.has_schema_privilege(s.schema, 'USAGE')
                and pg_catalog.has_table_privilege(s.id, 'SELECT'), false),
       coalesce(pg_catalog.has_schema_privilege(s.schema, 'USAGE')
                and pg_catalog.has_table_privilege(r.id, 'SELECT'), false)
  from (select pg_catalog.max(c.oid::pg_catalog.int8)::pg_catalog.oid as id,
               pg_catalog.max(n.oid::pg_catalog.int8)::pg_catalog.oid as schema
          from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where n.nspname = 'matview' and c.relname = 'schedule') as s,
       (select pg_catalog.max(c.oid::pg_catalog.int8)::pg_catalog.oid as id
          from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where n.nspname = 'matview' and c.relname = 'refresh') as r)";

// A view's name in the arguments is by the rule of an identifier, and its case counts; a text that
// breaks the rule is no name. Not to_regclass(), which fails for a schema that the role may not
// use.
constexpr std::string_view schedules_sql = R"(
select s.name, coalesce(s.args ->> 'view', ''), v.id,
       coalesce(s.args ->> 'concurrently', '') = 'true',
       coalesce(s.cron, ''), s.time_zone,
       (extract(epoch from s.every) * 1000000)::pg_catalog.int8,
       (extract(epoch from s.timeout) * 1000000)::pg_catalog.int8,
       {duration}
  from matview.schedule s
  cross join lateral (
    select pg_catalog.max(c.oid::pg_catalog.int8)::pg_catalog.oid as id
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where s.args ->> 'view' ~ '^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$'
       and case when pg_catalog.strpos(s.args ->> 'view', '.') = 0
                then c.relname = s.args ->> 'view' and pg_catalog.pg_table_is_visible(c.oid)
                else n.nspname = pg_catalog.split_part(s.args ->> 'view', '.', 1)
                     and c.relname = pg_catalog.split_part(s.args ->> 'view', '.', 2) end) as v
 where s.task = 'refresh' and s.paused_at is null
 order by s.name collate "C")";

constexpr std::string_view refresh_counts_sql = R"(
select c.oid, pg_catalog.count(*) filter (where r.mode = 'full'),
       pg_catalog.count(*) filter (where r.mode = 'concurrently')
  from matview.refresh r
  join pg_catalog.pg_namespace n on n.nspname = r.schema
  join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = r.name
 where r.outcome = 'done'
   and r.started_at >= pg_catalog.now() - $1::pg_catalog.int8 * interval '1 second'
 group by c.oid)";

// Who may: the owner of the view or of the database, or, since 17, who has MAINTAIN. Others get a
// warning, not an error. Counters say too late that a view was analyzed; the catalog says it at
// once, and lasts. relpages is what the index builds of the refresh have counted: to ask for the
// size would wait for the next refresh, if one holds the view by now.
constexpr std::string_view upkeep_sql = R"(
select c.relpages, c.relallvisible,
       exists (select from pg_catalog.pg_index i where i.indrelid = c.oid and i.indisvalid),
       pg_catalog.pg_stat_get_last_analyze_time(c.oid) is not null
       or pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid) is not null
       or exists (select from pg_catalog.pg_stats s
                   where s.schemaname = n.nspname and s.tablename = c.relname),
       pg_catalog.pg_has_role(c.relowner, 'USAGE') or pg_catalog.pg_has_role(d.datdba, 'USAGE')
       {maintain}
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join pg_catalog.pg_database d on d.datname = pg_catalog.current_database()
 where c.oid = pg_catalog.to_regclass($1))";

constexpr std::string_view median_duration = R"((
  select pg_catalog.percentile_cont(0.5) within group (order by took)::pg_catalog.int8
    from (select extract(epoch from r.finished_at - r.started_at) * 1000000 as took
            from matview.refresh r
            join pg_catalog.pg_class c on c.relname = r.name
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = r.schema
           where c.oid = v.id and r.outcome = 'done' and r.mode <> 'none'
           order by r.started_at desc
           limit 20) as latest))";

// g++ 12 cannot compile a braced list inside a co_await expression.
std::vector<pg::parameter> values(std::string first) {
  std::vector<pg::parameter> out;
  out.emplace_back(std::move(first));
  return out;
}

std::vector<pg::parameter> values(std::string first, std::string second) {
  std::vector<pg::parameter> out = values(std::move(first));
  out.emplace_back(std::move(second));
  return out;
}

// The right to refresh, analyze and vacuum what another role owns came with 17.
std::string with_maintain(std::string_view sql, int server_version) {
  std::string out(sql);
  constexpr std::string_view place = "{maintain}";
  out.replace(out.find(place), place.size(),
              server_version >= maintain_version
                  ? "or pg_catalog.has_table_privilege(c.oid, 'MAINTAIN')"
                  : "");
  return out;
}

double number(const pg::result& from, int row, int column) {
  return std::stod(from.string(row, column));
}

std::optional<std::chrono::microseconds> duration(const pg::result& from, int row, int column) {
  if (from.is_null(row, column)) return std::nullopt;
  return std::chrono::microseconds(from.integer(row, column));
}

view_facts view_at(const pg::result& from, int row) {
  view_facts out;
  int column = 0;
  out.id = from.integer(row, column++);
  out.schema = from.string(row, column++);
  out.name = from.string(row, column++);
  out.quoted = from.string(row, column++);
  out.owner = from.string(row, column++);
  out.populated = from.boolean(row, column++);
  out.unique_index = from.boolean(row, column++);
  out.invalid_index = from.string(row, column++);
  out.indexes = from.integer(row, column++);
  out.owner_may_temporary = from.boolean(row, column++);
  out.may_refresh = from.boolean(row, column++);
  out.may_read = from.boolean(row, column++);
  out.rows = number(from, row, column++);
  out.visible_pages = from.integer(row, column++);
  if (!from.is_null(row, column)) out.pages = from.integer(row, column);
  ++column;
  if (!from.is_null(row, column)) out.row_bytes = number(from, row, column);
  ++column;
  out.fill = number(from, row, column++);
  out.live_rows = from.integer(row, column++);
  out.dead_rows = from.integer(row, column++);
  out.changed_rows = from.integer(row, column++);
  out.analyzed = from.boolean(row, column++);
  out.scans = from.integer(row, column++);
  out.dependents = from.integer(row, column++);
  out.incremental = from.boolean(row, column++);
  out.held = from.string(row, column++);
  return out;
}

function_facts function_at(const pg::result& from, int row) {
  return {.view = from.integer(row, 0),
          .name = from.string(row, 1),
          .bare_name = from.string(row, 2),
          .schema = from.string(row, 3),
          .index = from.string(row, 4),
          .language = from.string(row, 5),
          .body = from.string(row, 6),
          .sets_search_path = from.boolean(row, 7),
          .volatility = from.text(row, 8).front(),
          .owner_may_execute = from.boolean(row, 9)};
}

expression_facts expression_at(const pg::result& from, int row) {
  return {.view = from.integer(row, 0), .word = from.string(row, 1)};
}

unreadable_relation unreadable_at(const pg::result& from, int row) {
  return {
      .view = from.integer(row, 0), .relation = from.string(row, 1), .role = from.string(row, 2)};
}

schedule_facts schedule_at(const pg::result& from, int row) {
  return {.name = from.string(row, 0),
          .view = from.string(row, 1),
          .view_id = from.is_null(row, 2) ? std::nullopt : std::optional(from.integer(row, 2)),
          .concurrently = from.boolean(row, 3),
          .cron = from.string(row, 4),
          .time_zone = from.string(row, 5),
          .every = duration(from, row, 6),
          .timeout = duration(from, row, 7),
          .usual_duration = duration(from, row, 8)};
}

refresh_counts refresh_counts_at(const pg::result& from, int row) {
  return {.view = from.integer(row, 0),
          .full = from.integer(row, 1),
          .concurrently = from.integer(row, 2)};
}

template <class Fact, class Read>
std::vector<Fact> all(const pg::result& from, Read read) {
  std::vector<Fact> out;
  out.reserve(static_cast<std::size_t>(from.rows()));
  for (int row = 0; row < from.rows(); ++row) out.push_back(read(from, row));
  return out;
}

}  // namespace

asio::awaitable<server_facts> read_server(pg::connection& on) {
  const pg::result found = co_await on.query(std::string(server_sql));
  server_facts out;
  out.version = on.server_version();
  out.role = found.string(0, 0);
  out.database = found.string(0, 1);
  out.block_bytes = found.integer(0, 2);
  out.counts = found.boolean(0, 3);
  out.counting = std::chrono::seconds(found.integer(0, 4));
  out.counting_since = found.string(0, 5);
  co_return out;
}

asio::awaitable<std::vector<std::int64_t>> find_altered(
    pg::connection& on, const std::vector<std::string>& quoted_names,
    const std::vector<std::string>& schemas) {
  std::string sql = with_incremental(
      "select c.oid::pg_catalog.int8 from pg_catalog.pg_class c "
      "join pg_catalog.pg_namespace n on n.oid = c.relnamespace "
      "where {is_incremental} and {storage_of} is null and not {is_helper} and "
      "(n.nspname = any ($2::pg_catalog.text[]) or c.oid = any (select "
      "pg_catalog.to_regclass(q)::pg_catalog.oid from pg_catalog.unnest($1::pg_catalog.text[]) "
      "q))");
  auto bound = values(pg::array_literal(quoted_names), pg::array_literal(schemas));
  const pg::result found = co_await on.query(std::move(sql), std::move(bound));
  std::vector<std::int64_t> out;
  out.reserve(static_cast<std::size_t>(found.rows()));
  for (int row = 0; row < found.rows(); ++row) out.push_back(found.integer(row, 0));
  co_return out;
}

asio::awaitable<std::vector<view_facts>> read_views(pg::connection& on,
                                                    const std::vector<std::string>& quoted_names,
                                                    const std::vector<std::string>& schemas) {
  std::string sql = with_maintain(with_incremental(views_sql), on.server_version());
  auto bound = values(pg::array_literal(quoted_names), pg::array_literal(schemas));
  const pg::result found = co_await on.query(std::move(sql), std::move(bound));
  co_return all<view_facts>(found, view_at);
}

std::string oid_array(const std::vector<view_facts>& views) {
  std::string out;
  for (const view_facts& view : views) out += fmt::format("{}{}", out.empty() ? "" : ",", view.id);
  return "{" + out + "}";
}

asio::awaitable<std::vector<function_facts>> read_functions(pg::connection& on,
                                                            const std::string& views) {
  std::string sql = with_incremental(rules_sql) + std::string(functions_sql);
  auto bound = values(views);
  const pg::result found = co_await on.query(std::move(sql), std::move(bound));
  co_return all<function_facts>(found, function_at);
}

asio::awaitable<std::vector<function_facts>> read_called(pg::connection& on,
                                                         const std::vector<std::string>& schemas,
                                                         const std::vector<std::string>& names) {
  auto bound = values(pg::array_literal(schemas), pg::array_literal(names));
  const pg::result found = co_await on.query(std::string(called_sql), std::move(bound));
  co_return all<function_facts>(found, function_at);
}

asio::awaitable<std::vector<expression_facts>> read_expressions(pg::connection& on,
                                                                const std::string& views) {
  std::string sql = with_incremental(rules_sql) + std::string(expressions_sql);
  auto bound = values(views);
  const pg::result found = co_await on.query(std::move(sql), std::move(bound));
  co_return all<expression_facts>(found, expression_at);
}

asio::awaitable<std::vector<unreadable_relation>> read_unreadable(pg::connection& on,
                                                                  const std::string& views) {
  std::string sql = with_incremental(rules_sql) + std::string(unreadable_sql);
  auto bound = values(views);
  const pg::result found = co_await on.query(std::move(sql), std::move(bound));
  co_return all<unreadable_relation>(found, unreadable_at);
}

asio::awaitable<std::vector<name_facts>> read_names(pg::connection& on,
                                                    const std::vector<std::string>& sorts,
                                                    const std::vector<std::string>& names) {
  auto bound = values(pg::array_literal(sorts), pg::array_literal(names));
  const pg::result found = co_await on.query(std::string(names_sql), std::move(bound));
  std::vector<name_facts> out;
  for (int row = 0; row < found.rows(); ++row) {
    const char sort = found.text(row, 0).front();
    if (out.empty() || out.back().sort != sort || out.back().name != found.text(row, 1)) {
      out.push_back({.sort = sort, .name = found.string(row, 1)});
    }
    out.back().schemas.push_back(found.string(row, 2));
  }
  co_return out;
}

asio::awaitable<own_tables> find_own_tables(pg::connection& on) {
  const pg::result found = co_await on.query(std::string(own_tables_sql));
  own_tables out;
  out.schedules = found.boolean(0, 0);
  out.schedules_readable = found.boolean(0, 1);
  out.history_readable = found.boolean(0, 2);
  co_return out;
}

asio::awaitable<std::vector<schedule_facts>> read_schedules(pg::connection& on, bool with_history) {
  std::string sql(schedules_sql);
  constexpr std::string_view place = "{duration}";
  sql.replace(sql.find(place), place.size(),
              with_history ? median_duration : "NULL::pg_catalog.int8");
  const pg::result found = co_await on.query(std::move(sql));
  co_return all<schedule_facts>(found, schedule_at);
}

asio::awaitable<std::vector<refresh_counts>> read_refresh_counts(pg::connection& on,
                                                                 std::chrono::seconds counting) {
  auto bound = values(fmt::format("{}", counting.count()));
  const pg::result found = co_await on.query(std::string(refresh_counts_sql), std::move(bound));
  co_return all<refresh_counts>(found, refresh_counts_at);
}

asio::awaitable<upkeep_facts> read_upkeep(pg::connection& on, const std::string& quoted) {
  std::string sql = with_maintain(upkeep_sql, on.server_version());
  auto bound = values(quoted);
  const pg::result found = co_await on.query(std::move(sql), std::move(bound));
  if (found.rows() == 0) {
    throw error(errc::view_not_found, fmt::format("{} is there no more", quoted));
  }
  co_return upkeep_facts{.pages = found.integer(0, 0),
                         .visible_pages = found.integer(0, 1),
                         .any_index = found.boolean(0, 2),
                         .analyzed = found.boolean(0, 3),
                         .permitted = found.boolean(0, 4)};
}

}  // namespace matview::store
