#include "store/sources.hpp"

#include <boost/algorithm/string/replace.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

namespace matview::store {

namespace json = boost::json;

namespace {

// The stored trees of the queries are searched for the oids of relations and functions: what comes
// with PostgreSQL is in no row of pg_depend.
//
// Of the functions that are STABLE, those that read nothing but their arguments and the settings
// for writing values as text are named one by one; the settings are part of the ground. Whatever is
// not named is unknown; so are those that take times as text, which may be 'now', or that give a
// timetz, whose offset is today's. A function that is IMMUTABLE and was made here may be replaced,
// and may call others that may: where there is one, all functions that were made here are on the
// ground.
//
// Counters are read anew: what a transaction has once seen of them it sees again, in 14 and with
// stats_fetch_consistency = snapshot, and it may have waited long since. They do not count yet what
// this transaction has written itself; and in REPEATABLE READ they are ahead of what it sees.
//
// The planner expects a thousand times the rows that there are. It would hash whole catalogs and
// compile the query, which takes seconds where the query takes milliseconds. So it is told not to,
// and then what it was told before: the refresh itself may be worth all that.
//
// Beside its counts a table's mark holds its parents, since a partition may move from one table to
// another; and its columns, since rows are read whole, too. A materialized view has no counts in
// it: each refresh writes its row of pg_class, which is seen at once, where counts come later.
constexpr const char* sources_sql = R"(
select pg_catalog.set_config('matview.was_' || name, pg_catalog.current_setting(name), true),
       pg_catalog.set_config(name, 'off', true)
  from pg_catalog.unnest('{jit,enable_hashjoin,enable_mergejoin}'::pg_catalog.text[]) as name;
with recursive cleared as materialized (
  select pg_catalog.pg_stat_clear_snapshot()
), rule (view, class, oid, tree) as (
  select w.ev_class, w.ev_class, w.oid, w.ev_action::pg_catalog.text
    from pg_catalog.pg_rewrite w
   where w.ev_class = any ({views}::pg_catalog.oid[]) and w.ev_type = '1'
  union
  select r.view, below.oid, w.oid, w.ev_action::pg_catalog.text
    from rule r
    cross join lateral pg_catalog.regexp_matches(r.tree, ':relid ([1-9][0-9]*)', 'g') as m
    join pg_catalog.pg_class below
      on below.oid = m[1]::pg_catalog.oid and below.relkind = 'v' and below.oid <> r.class
    join pg_catalog.pg_rewrite w on w.ev_class = below.oid and w.ev_type = '1'
), named (view, oid) as (
  select r.view, m[1]::pg_catalog.oid
    from rule r
    cross join lateral pg_catalog.regexp_matches(r.tree, ':relid ([1-9][0-9]*)', 'g') as m
   where m[1]::pg_catalog.oid <> r.class
  union
  select n.view, i.inhrelid from named n
    join pg_catalog.pg_inherits i on i.inhparent = n.oid and not i.inhdetachpending
), source as (
  select n.view, c.oid, c.relkind, c.relrowsecurity, c.relam,
         pg_catalog.format('%I.%I', s.nspname, c.relname) as name,
         pg_catalog.concat_ws('/', c.relkind, pg_catalog.pg_relation_filenode(c.oid),
           case when c.relkind = 'm' then c.xmin::pg_catalog.text
             else pg_catalog.concat_ws('/', pg_catalog.pg_stat_get_tuples_inserted(c.oid),
               pg_catalog.pg_stat_get_tuples_updated(c.oid),
               pg_catalog.pg_stat_get_tuples_deleted(c.oid)) end,
           (select pg_catalog.string_agg(i.inhparent::pg_catalog.text, '+' order by i.inhparent)
              from pg_catalog.pg_inherits i where i.inhrelid = c.oid and not i.inhdetachpending),
           pg_catalog.md5(pg_catalog.concat_ws('|',
             (select pg_catalog.string_agg(a.attname::pg_catalog.text, ',' order by a.attnum)
                from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0),
             (select pg_catalog.string_agg(d.oid || ':' || d.xmin::pg_catalog.text, ','
                                           order by d.oid)
                from pg_catalog.pg_attrdef d where d.adrelid = c.oid)))) as mark
    from named n join pg_catalog.pg_class c on c.oid = n.oid and c.relkind <> 'v'
    join pg_catalog.pg_namespace s on s.oid = c.relnamespace
), function (view, oid) as (
  select r.view, m[1]::pg_catalog.oid
    from rule r
    cross join lateral pg_catalog.regexp_matches(
      r.tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) ([1-9][0-9]*)', 'g') as m
), called as (
  select distinct f.view, p.oid, p.provolatile,
         pg_catalog.format('%I.%I', s.nspname, p.proname) as name,
         p.oid < 16384 and p.provolatile = 's'
         and p.prorettype <> 'pg_catalog.timetz'::pg_catalog.regtype
         and p.proname !~ '_(in|recv)$|_populate_record(set)?$|_to_record(set)?$'
         and (p.proname ~ ('^(date_trunc|date_part|extract|to_char|to_date|to_timestamp|timezone|'
              '(timestamp|timestamptz|date|time|timetz|interval)(_.*)?|make_timestamptz|concat|'
              'concat_ws|format|quote_(ident|literal|nullable)|array_to_string|text|'
              '(to_|row_to_|array_to_)?jsonb?(_.*)?|generate_series)$')
              or (p.proname = 'age' and p.pronargs = 2)) as by_settings
    from (select view, oid from function
          union all
          select f.view, part.oid
            from function f
            join pg_catalog.pg_aggregate a on a.aggfnoid = f.oid and f.oid >= 16384
            cross join lateral (values (a.aggtransfn::pg_catalog.oid), (a.aggfinalfn),
              (a.aggcombinefn), (a.aggmtransfn), (a.aggminvtransfn), (a.aggmfinalfn)) as part (oid)
         ) as f
    join pg_catalog.pg_proc p on p.oid = f.oid
    join pg_catalog.pg_namespace s on s.oid = p.pronamespace
), doubt (view, rank, why) as (
  select view, 1, 'it reads the foreign table ' || name from source where relkind = 'f'
  union all
  select view, 2, 'it reads the system catalog ' || name from source where oid < 16384
  union all
  select view, 3, 'it reads ' || name || ', which has row-level security' from source
   where relrowsecurity
  union all
  select view, 4, 'it reads ' || name || ', which is no table' from source
   where relkind not in ('r', 'p', 'm', 'f', 't')
  union all
  select view, 5, 'it calls ' || name || '(), which is '
         || case provolatile when 'v' then 'volatile' else 'not immutable' end
    from called where provolatile <> 'i' and not by_settings
  union all
  select view, 6, 'it depends on the time or on who asks' from rule
   where tree ~ '\{SQLVALUEFUNCTION '
  union all
  select view, 7, 'it takes a sample' from rule where tree ~ '\{TABLESAMPLECLAUSE '
  union all
  -- 'now' and 'today' are dates, too.
  select view, 8, 'it reads times from text' from rule
   where tree ~ '\{(TABLEFUNC|JSONEXPR) '
  union all
  -- Only of this kind of node these three follow each other.
  select r.view, 8, 'it reads ' || pg_catalog.format_type(t.oid, null) || ' from text' from rule r
    cross join lateral pg_catalog.regexp_matches(
      r.tree, ':resulttype ([0-9]+) :resultcollid [0-9]+ :coerceformat ', 'g') as m
    join pg_catalog.pg_type t on t.oid = m[1]::pg_catalog.oid
    left join pg_catalog.pg_type e on e.oid = t.typelem and t.typlen = -1
    join pg_catalog.pg_proc p on p.oid = coalesce(e.typinput, t.typinput)
   where p.provolatile <> 'i'
     and coalesce(e.oid, t.oid) not in ('pg_catalog.interval'::pg_catalog.regtype,
       'pg_catalog.money'::pg_catalog.regtype, 'pg_catalog.xml'::pg_catalog.regtype)
  union all
  -- As text they are what the catalog calls them now.
  select view, 9, 'it gives names of the catalog' from rule
   where tree ~ ':(vartype|consttype|resulttype|funcresulttype|element_typeid) '
                '(24|220[2-9]|221[01]|373[45]|3769|3770|4089|409[067]|419[12]) '
  union all
  select view, 10, 'it reads ' || name || ', which is stored in a way of its own' from source
   where relkind in ('r', 'm', 't') and relam <> 2
  union all
  select v, 11, 'not everything is counted (track_counts)'
    from pg_catalog.unnest({views}::pg_catalog.oid[]) v
   where not pg_catalog.current_setting('track_counts')::pg_catalog.bool
      or exists (select from pg_catalog.pg_db_role_setting
                  where setconfig::pg_catalog.text ~* '[{,"]track_counts=')
  union all
  select v, 12, 'its transaction sees an older state (' || level || ')'
    from pg_catalog.unnest({views}::pg_catalog.oid[]) v,
         pg_catalog.current_setting('transaction_isolation') level
   where level not in ('read committed', 'read uncommitted')
  union all
  select v, 13, 'its transaction has itself written something'
    from pg_catalog.unnest({views}::pg_catalog.oid[]) v
   where pg_catalog.pg_current_xact_id_if_assigned() is not null
)
select v::pg_catalog.int8,
  coalesce((select d.why from doubt d where d.view = v order by d.rank, d.why limit 1), ''),
  pg_catalog.concat_ws('/',
    pg_catalog.pg_stat_get_db_stat_reset_time(
      (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database())),
    pg_catalog.pg_stat_get_bgwriter_stat_reset_time(),
    pg_catalog.md5(pg_catalog.concat_ws('|', pg_catalog.current_setting('timezone'),
      pg_catalog.current_setting('datestyle'), pg_catalog.current_setting('intervalstyle'),
      pg_catalog.current_setting('lc_time'), pg_catalog.current_setting('lc_numeric'),
      pg_catalog.current_setting('lc_monetary'), pg_catalog.current_setting('bytea_output'),
      pg_catalog.current_setting('extra_float_digits'),
      pg_catalog.current_setting('xmlbinary'), pg_catalog.current_setting('xmloption'),
      (select pg_catalog.md5(pg_catalog.string_agg(e.oid || ':' || e.xmin::pg_catalog.text, ','
                                                   order by e.oid)) from pg_catalog.pg_enum e),
      (select pg_catalog.string_agg(pg_catalog.md5(r.tree), ',' order by r.oid) from rule r
        where r.view = v),
      case when exists (select from called c where c.view = v and c.oid >= 16384) then
        (select pg_catalog.md5(pg_catalog.string_agg(p.oid || ':' || p.xmin::pg_catalog.text, ','
                                                     order by p.oid))
           from pg_catalog.pg_proc p where p.oid >= 16384) end))),
  coalesce((select pg_catalog.json_agg(pg_catalog.json_build_array(s.name, s.mark) order by s.oid)
              from source s where s.view = v), '[]')::pg_catalog.text
  from cleared, pg_catalog.unnest({views}::pg_catalog.oid[]) as v;
select pg_catalog.set_config(name, pg_catalog.current_setting('matview.was_' || name), true)
  from pg_catalog.unnest('{jit,enable_hashjoin,enable_mergejoin}'::pg_catalog.text[]) as name)";

std::vector<source_mark> tables_from(const json::value& list) {
  std::vector<source_mark> out;
  if (!list.is_array()) return out;
  for (const json::value& one : list.get_array()) {
    out.push_back({std::string(one.at(0).as_string()), std::string(one.at(1).as_string())});
  }
  return out;
}

}  // namespace

asio::awaitable<std::vector<view_sources>> read_sources(pg::connection& on,
                                                        const std::vector<std::int64_t>& views) {
  std::string sql = sources_sql;
  const std::string oids = fmt::format("'{{{}}}'", fmt::join(views, ","));
  boost::algorithm::replace_all(sql, "{views}", oids);
  const std::vector<pg::result> answers = co_await on.run(std::move(sql));
  const pg::result& found = answers.at(1);
  std::vector<view_sources> out;
  out.reserve(static_cast<std::size_t>(found.rows()));
  for (int row = 0; row < found.rows(); ++row) {
    out.push_back({.view = found.integer(row, 0),
                   .unknown = found.string(row, 1),
                   .ground = found.string(row, 2),
                   .tables = tables_from(json::parse(found.string(row, 3)))});
  }
  co_return out;
}

std::string to_json(const view_sources& sources) {
  json::array tables;
  for (const source_mark& one : sources.tables) tables.push_back({one.name, one.mark});
  return json::serialize(json::object{{"view", sources.view},
                                      {"unknown", sources.unknown},
                                      {"ground", sources.ground},
                                      {"tables", std::move(tables)}});
}

view_sources sources_from(std::string_view text) {
  try {
    const json::value read = json::parse(json::string_view(text.data(), text.size()));
    return {.view = read.at("view").to_number<std::int64_t>(),
            .unknown = std::string(read.at("unknown").as_string()),
            .ground = std::string(read.at("ground").as_string()),
            .tables = tables_from(read.at("tables"))};
  } catch (const std::exception&) {  // A newer program's, or nobody's.
    return {.unknown = "what was remembered of its tables cannot be read"};
  }
}

}  // namespace matview::store
