#include "store/sources.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <utility>

namespace matview::store {

namespace json = boost::json;

namespace {

// The stored trees of the queries are searched for the oids of relations and functions: what comes
// with PostgreSQL is in no row of pg_depend.
//
// Of the functions that are STABLE, those that read nothing but their arguments and the settings
// for writing values as text are named one by one; the settings are part of the ground. Whatever is
// not named is unknown. A function that is IMMUTABLE and was made here is on the ground, too: it
// may be replaced.
constexpr const char* sources_sql = R"(
with recursive rule (view, class, oid, tree) as (
  select w.ev_class, w.ev_class, w.oid, w.ev_action::pg_catalog.text
    from pg_catalog.pg_rewrite w
   where w.ev_class = any ($1::pg_catalog.oid[]) and w.ev_type = '1'
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
  select n.view, i.inhrelid from named n join pg_catalog.pg_inherits i on i.inhparent = n.oid
), source as (
  select n.view, c.oid, c.relkind, c.relrowsecurity,
         pg_catalog.format('%I.%I', s.nspname, c.relname) as name,
         pg_catalog.concat_ws('/', c.relkind, pg_catalog.pg_relation_filenode(c.oid),
           pg_catalog.pg_stat_get_tuples_inserted(c.oid), pg_catalog.pg_stat_get_tuples_updated(c.oid),
           pg_catalog.pg_stat_get_tuples_deleted(c.oid)) as mark
    from named n join pg_catalog.pg_class c on c.oid = n.oid and c.relkind <> 'v'
    join pg_catalog.pg_namespace s on s.oid = c.relnamespace
), called as (
  select distinct r.view, p.oid, p.xmin, p.provolatile, p.proname,
         pg_catalog.format('%I.%I', s.nspname, p.proname) as name,
         p.oid < 16384 and p.provolatile = 's'
         and (p.proname ~ ('^(date_trunc|date_part|extract|to_char|to_date|to_timestamp|timezone|'
              '(timestamp|timestamptz|date|time|timetz|interval)(_.*)?|make_timestamptz|concat|'
              'concat_ws|format|quote_(ident|literal|nullable)|array_to_string|text|'
              '(to_|row_to_|array_to_)?jsonb?(_.*)?|generate_series)$')
              or (p.proname = 'age' and p.pronargs = 2)) as by_settings
    from rule r
    cross join lateral pg_catalog.regexp_matches(
      r.tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) ([1-9][0-9]*)', 'g') as m
    join pg_catalog.pg_proc p on p.oid = m[1]::pg_catalog.oid
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
   where tree ~ '\{COERCEVIAIO [^{]*(\{.*\} )?:resulttype (1082|1083|1114|1184|1266) '
  union all
  select v, 9, 'the server does not count (track_counts)' from pg_catalog.unnest($1::pg_catalog.oid[]) v
   where not pg_catalog.current_setting('track_counts')::pg_catalog.bool
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
      (select pg_catalog.string_agg(pg_catalog.md5(r.tree), ',' order by r.oid) from rule r
        where r.view = v),
      (select pg_catalog.string_agg(c.oid || ':' || c.xmin::pg_catalog.text, ',' order by c.oid)
         from called c where c.view = v and c.oid >= 16384)))),
  coalesce((select pg_catalog.json_agg(pg_catalog.json_build_array(s.name, s.mark) order by s.oid)
              from source s where s.view = v), '[]')::pg_catalog.text
  from pg_catalog.unnest($1::pg_catalog.oid[]) as v)";

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
  std::vector<pg::parameter> values;
  values.emplace_back(fmt::format("{{{}}}", fmt::join(views, ",")));
  const pg::result found = co_await on.query(sources_sql, std::move(values));
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
