#include "store/query_catalog.hpp"

#include "text/quote.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace matview::store {

namespace {

// Whether values of type `t` can be hashed, by a default operator class of the type itself, of what
// it is the same as in memory, of its elements or of all enums. With a collation for which 'a' may
// equal 'A' equal values are not the same. A type whose own equality comes from an extension
// (citext) is left out: a program finds operators in pg_catalog alone, and there = is that of text.
constexpr std::string_view hashable = R"((
  select (b.typtype = 'e' or exists (
      select from pg_catalog.pg_opclass o join pg_catalog.pg_am m on m.oid = o.opcmethod
       where m.amname = 'hash' and o.opcdefault
         and o.opcnamespace = 'pg_catalog'::pg_catalog.regnamespace and (o.opcintype = b.oid
         or exists (select from pg_catalog.pg_cast k where k.castsource = b.oid
                       and k.casttarget = o.opcintype and k.castmethod = 'b'
                       and k.castcontext = 'i'))))
     and not exists (select from pg_catalog.pg_opclass o join pg_catalog.pg_am m on m.oid = o.opcmethod
                      where m.amname in ('btree', 'hash') and o.opcintype = b.oid and o.opcdefault
                        and o.opcnamespace <> 'pg_catalog'::pg_catalog.regnamespace)
     and coalesce((select l.collisdeterministic from pg_catalog.pg_collation l where l.oid = {1}), true)
    from pg_catalog.pg_type t
   cross join lateral (
     select e.oid, e.typtype from pg_catalog.pg_type e
      where e.oid = case when t.typtype = 'd' then t.typbasetype
                         when t.typcategory = 'A' and t.typelem <> 0 then t.typelem
                         else t.oid end) b
   where t.oid = {0}))";

// Short enough for a btree index in any case.
constexpr std::string_view fixed_size = R"((
  select t.typlen > 0 or t.oid = 'pg_catalog.numeric'::pg_catalog.regtype
      or (t.oid in ('pg_catalog.varchar'::pg_catalog.regtype, 'pg_catalog.bpchar'::pg_catalog.regtype)
          and {1} between 1 and 204)
    from pg_catalog.pg_type t where t.oid = {0}))";

std::string traits(std::string_view type, std::string_view modifier, std::string_view collation) {
  return fmt::format("pg_catalog.format_type({0}, {1}), {2}, {3}", type, modifier,
                     fmt::format(fmt::runtime(hashable), type, collation),
                     fmt::format(fmt::runtime(fixed_size), type, modifier));
}

// The view's rule reads these, through all plain views underneath.
constexpr std::string_view reached = R"(
with recursive reached(oid) as (
  select $1::pg_catalog.int8::pg_catalog.oid
  union
  select d.refobjid from reached r
    join pg_catalog.pg_class v on v.oid = r.oid and v.relkind = 'v'
    join pg_catalog.pg_rewrite w on w.ev_class = r.oid and w.ev_type = '1'
    join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
     and d.objid = w.oid and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
   where d.refobjid <> r.oid))";

constexpr std::string_view tables_sql = R"(
select c.oid::pg_catalog.int8, n.nspname, c.relname, c.relkind, c.relpersistence,
       c.relrowsecurity and (pg_catalog.row_security_active(c.oid) or exists (
         -- What is read through a plain view is read with the rights of its owner.
         select from reached p join pg_catalog.pg_class v on v.oid = p.oid and v.relkind = 'v'
           join pg_catalog.pg_roles o on o.oid = v.relowner
          where p.oid <> $1::pg_catalog.int8::pg_catalog.oid and not (o.rolsuper or o.rolbypassrls)
            and (c.relforcerowsecurity or not pg_catalog.pg_has_role(o.oid, c.relowner, 'USAGE')))),
       n.nspname = 'matview' and c.relname like 'storage\_%',
       pg_catalog.has_table_privilege(c.oid, 'TRIGGER') or pg_catalog.pg_has_role(c.relowner, 'USAGE'),
       pg_catalog.pg_get_userbyid(c.relowner),
       greatest(case when c.relkind = 'p' then (
         select sum(greatest(l.reltuples, 0)) from pg_catalog.pg_partition_tree(c.oid) p
           join pg_catalog.pg_class l on l.oid = p.relid) else c.reltuples end, 0)::pg_catalog.float8,
       case when c.relkind = 'v' then pg_catalog.pg_get_viewdef(c.oid) end,
       pg_catalog.pg_has_role(c.relowner, 'USAGE'), coalesce(below.far, ''), below.subscribed
  from reached r join pg_catalog.pg_class c on c.oid = r.oid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 cross join lateral (
   with recursive family(oid) as (
     select c.oid union
     select i.inhrelid from family f join pg_catalog.pg_inherits i on i.inhparent = f.oid)
   select min(k.relname) filter (where k.relkind = 'f' and k.oid <> c.oid) as far,
          pg_catalog.bool_or(s.srrelid is not null) as subscribed
     from family f join pg_catalog.pg_class k on k.oid = f.oid
     left join pg_catalog.pg_subscription_rel s on s.srrelid = f.oid) below)";

// Children by inheritance may be without what their parent says of its own rows: a key, and before
// PostgreSQL 18 also NOT NULL. From then on that may be there without holding for all rows.
constexpr std::string_view columns_sql = R"(
select a.attrelid::pg_catalog.int8, a.attname, {},
       a.attnotnull and (c.relkind = 'p' or not exists (
         select from pg_catalog.pg_inherits h where h.inhparent = r.oid))
       and not exists (select from pg_catalog.pg_constraint t where t.conrelid = r.oid
         and t.contype = 'n' and not t.convalidated and t.conkey = array[a.attnum]),
       a.attgenerated = 'v'
  from reached r join pg_catalog.pg_attribute a on a.attrelid = r.oid
  join pg_catalog.pg_class c on c.oid = r.oid
 where a.attnum > 0 and not a.attisdropped order by a.attrelid, a.attnum)";

constexpr std::string_view keys_sql = R"(
select i.indrelid::pg_catalog.int8, a.attname
  from reached r join pg_catalog.pg_index i on i.indrelid = r.oid and i.indisprimary
  join pg_catalog.pg_class c on c.oid = r.oid and (c.relkind = 'p' or not exists (
    select from pg_catalog.pg_inherits h where h.inhparent = r.oid))
 cross join lateral pg_catalog.unnest(i.indkey::pg_catalog.int2[]) with ordinality k(attnum, place)
  join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
 where k.place <= i.indnkeyatts and i.indimmediate and i.indisvalid order by i.indrelid, k.place)";

// The tree of a rule names functions and operators by oid. A cast by way of text (COERCEVIAIO) is
// the only node whose result type stands before a collation.
constexpr std::string_view functions_sql = R"(,
rules as (
  select w.ev_action::pg_catalog.text as tree from reached r
    join pg_catalog.pg_rewrite w on w.ev_class = r.oid and w.ev_type = '1'),
-- What a call leaves out does not stand in the rule.
trees as (
  select r.tree from rules r
  union all
  select p.proargdefaults::pg_catalog.text from pg_catalog.pg_proc p
   where p.oid >= 16384 and p.proargdefaults is not null and p.oid in (
     select m[1]::pg_catalog.oid from rules r
      cross join lateral pg_catalog.regexp_matches(r.tree, ' :(?:funcid|aggfnoid|winfnoid) (\d+)', 'g') m)),
named as (
  select distinct m[1] as word, m[2]::pg_catalog.oid as oid from trees t
   cross join lateral pg_catalog.regexp_matches(t.tree,
     ' :(funcid|opfuncid|aggfnoid|winfnoid|opno) (\d+)', 'g') m),
direct as (
  select distinct p.oid from named
    join pg_catalog.pg_proc p on p.oid = case word
      when 'opno' then (select o.oprcode from pg_catalog.pg_operator o where o.oid = named.oid)
      else named.oid end),
-- An aggregate is IMMUTABLE whatever it is made of.
called as (
  select d.oid from direct d
  union
  select s.oid from direct d join pg_catalog.pg_aggregate a on a.aggfnoid::pg_catalog.oid = d.oid
   cross join lateral pg_catalog.unnest(array[a.aggtransfn, a.aggfinalfn]::pg_catalog.oid[]) s(oid)
   where d.oid >= 16384 and s.oid <> 0),
-- Of each type that a text is cast to, what it is made of.
made(oid, inside) as (
  select m[1]::pg_catalog.oid, m[1]::pg_catalog.oid from trees t
   cross join lateral pg_catalog.regexp_matches(t.tree, ' :resulttype (\d+) :resultcollid', 'g') m
  union
  select m.oid, i.oid from made m join pg_catalog.pg_type y on y.oid = m.inside
   cross join lateral (
     select y.typelem union all select y.typbasetype
     union all select a.atttypid from pg_catalog.pg_attribute a
                where y.typtype = 'c' and a.attrelid = y.typrelid and a.attnum > 0
     union all select g.rngsubtype from pg_catalog.pg_range g where y.oid in (g.rngtypid, g.rngmultitypid)) i(oid)
   where i.oid <> 0)
select case p.prokind when 'a' then 'aggregate' else 'function' end,
       case when n.nspname = 'pg_catalog' then p.proname
            else n.nspname || '.' || p.proname end,
       -- By today's offset of the time zone.
       case when p.oid in ('pg_catalog.timetz(time)'::pg_catalog.regprocedure,
                           'pg_catalog.timezone(text, timetz)'::pg_catalog.regprocedure)
            then 'clock' else p.provolatile::pg_catalog.text end,
       p.oid < 16384, p.pronargs, p.proretset
  from called join pg_catalog.pg_proc p on p.oid = called.oid
  join pg_catalog.pg_namespace n on n.oid = p.pronamespace
union all
select 'value', m[1], '', true, 0, false from trees t
 cross join lateral pg_catalog.regexp_matches(t.tree, '\{{SQLVALUEFUNCTION :op (\d+)', 'g') m
union all
-- How these are written does not show the operator; read again, PostgreSQL's own is taken for it.
select 'operator', n.nspname || '.' || o.oprname, '', false, 0, false
  from named join pg_catalog.pg_operator o on named.word = 'opno' and o.oid = named.oid
  join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
 where n.nspname <> 'pg_catalog' and o.oprname in ('=', '<>') and exists (
   select from trees t where t.tree ~
     '(DISTINCTEXPR|NULLIFEXPR|CASETESTEXPR|ROWCOMPAREEXPR|:usingClause \(|SUBLINK :subLinkType 2)')
union all
select distinct 'cast', pg_catalog.format_type(m.oid, null), '', true, 0, false from made m
 where m.inside in ('pg_catalog.date'::pg_catalog.regtype,
   'pg_catalog.timestamptz'::pg_catalog.regtype, 'pg_catalog.timestamp'::pg_catalog.regtype,
   'pg_catalog.time'::pg_catalog.regtype, 'pg_catalog.timetz'::pg_catalog.regtype)
union all
-- A name that is looked up by the search_path, or is shown by it.
select 'object name', pg_catalog.format_type(y.oid, null), '', true, 0, false from pg_catalog.pg_type y
 where y.oid in ({}) and (
   y.oid in (select m.inside from made m)
   or (exists (select from trees t where t.tree ~ pg_catalog.format(' :vartype (%s|%s) ', y.oid, y.typarray))
  and (exists (select from made) or exists (
    select from called c join pg_catalog.pg_proc p on p.oid = c.oid
     where p.oid < 16384 and p.proname in ('concat', 'concat_ws', 'format', 'array_to_string', 'textanycat', 'anytextcat',
       'to_json', 'to_jsonb', 'row_to_json', 'json_build_object', 'json_build_array', 'jsonb_build_object',
       'jsonb_build_array', 'json_agg', 'jsonb_agg', 'json_object_agg', 'jsonb_object_agg', 'array_to_json')))))
union all
select 'cast of NULL', '', '', false, 0, false from pg_catalog.pg_cast k
  join called c on c.oid = k.castfunc join pg_catalog.pg_proc p on p.oid = k.castfunc
 where not p.proisstrict and p.oid >= 16384
union all
-- Of branches of several types PostgreSQL casts two by two: as a real, a number has lost digits that a double has.
select 'levels', 'UNION, INTERSECT or EXCEPT of real and other numbers', '', true, 0, false from trees t
 cross join lateral pg_catalog.regexp_matches(t.tree, ':setOperations (\{{SETOPERATIONSTMT.*?) :constraintDeps', 'g') m(found)
 cross join lateral (
   select count(distinct c.types[1]) as kinds, pg_catalog.bool_or(' ' || c.types[1] || ' ' like '% 700 %') as lossy
     from pg_catalog.regexp_matches(m.found[1], ':colTypes \(o ([0-9 ]+)\)', 'g') c(types)) l
 where l.kinds > 1 and l.lossy
union all
-- By way of text or XML: what a date, an interval, a float or bytes look like is a setting.
select 'setting', '', '', true, 0, false from trees t
 where t.tree ~ ' :resulttype \d+ :resultcollid' or t.tree ~ 'XMLEXPR')";

constexpr std::string_view object_names =
    "'pg_catalog.regproc'::pg_catalog.regtype, 'pg_catalog.regprocedure'::pg_catalog.regtype, "
    "'pg_catalog.regoper'::pg_catalog.regtype, 'pg_catalog.regoperator'::pg_catalog.regtype, "
    "'pg_catalog.regclass'::pg_catalog.regtype, 'pg_catalog.regtype'::pg_catalog.regtype, "
    "'pg_catalog.regconfig'::pg_catalog.regtype, 'pg_catalog.regdictionary'::pg_catalog.regtype, "
    "'pg_catalog.regrole'::pg_catalog.regtype, 'pg_catalog.regnamespace'::pg_catalog.regtype, "
    "'pg_catalog.regcollation'::pg_catalog.regtype, 'pg_catalog.aclitem'::pg_catalog.regtype";

// Functions of PostgreSQL that are STABLE only because they read a setting (TimeZone, DateStyle,
// IntervalStyle, ...), which a refresh sets to what it was when the view was made.
constexpr std::array setting_functions{"date_trunc",
                                       "date_part",
                                       "extract",
                                       "to_char",
                                       "to_date",
                                       "to_timestamp",
                                       "timezone",
                                       "date",
                                       "timestamp",
                                       "timestamptz",
                                       "time",
                                       "timetz",
                                       "age",
                                       "concat",
                                       "concat_ws",
                                       "format",
                                       "array_to_string",
                                       "to_json",
                                       "to_jsonb",
                                       "row_to_json",
                                       "json_build_object",
                                       "json_build_array",
                                       "jsonb_build_object",
                                       "jsonb_build_array",
                                       "json_agg",
                                       "jsonb_agg",
                                       "json_object_agg",
                                       "jsonb_object_agg",
                                       "array_to_json",
                                       "make_timestamptz",
                                       "textanycat",
                                       "anytextcat",
                                       "quote_literal",
                                       "quote_nullable",
                                       "generate_series",
                                       "to_tsvector",
                                       "timestamptz_pl_interval",
                                       "timestamptz_mi_interval",
                                       "interval_pl_timestamptz",
                                       "date_lt_timestamptz",
                                       "date_le_timestamptz",
                                       "date_eq_timestamptz",
                                       "date_gt_timestamptz",
                                       "date_ge_timestamptz",
                                       "date_ne_timestamptz",
                                       "timestamptz_lt_date",
                                       "timestamptz_le_date",
                                       "timestamptz_eq_date",
                                       "timestamptz_gt_date",
                                       "timestamptz_ge_date",
                                       "timestamptz_ne_date",
                                       "timestamp_lt_timestamptz",
                                       "timestamp_le_timestamptz",
                                       "timestamp_eq_timestamptz",
                                       "timestamp_gt_timestamptz",
                                       "timestamp_ge_timestamptz",
                                       "timestamp_ne_timestamptz",
                                       "timestamptz_lt_timestamp",
                                       "timestamptz_le_timestamp",
                                       "timestamptz_eq_timestamp",
                                       "timestamptz_gt_timestamp",
                                       "timestamptz_ge_timestamp",
                                       "timestamptz_ne_timestamp",
                                       "overlaps",
                                       "text",
                                       "like",
                                       "date_add",
                                       "date_subtract",
                                       "jsonb_path_query_tz",
                                       "array_agg",
                                       "string_agg",
                                       "anyarray_out",
                                       "width_bucket"};
constexpr std::array clock_functions{
    "now",       "statement_timestamp", "transaction_timestamp", "clock_timestamp",
    "timeofday", "localtimestamp"};

template <class Names>
bool is_one_of(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string value_name(std::string_view number) {
  static constexpr std::array names{
      "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIME",   "CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP",
      "LOCALTIME",    "LOCALTIME",    "LOCALTIMESTAMP", "LOCALTIMESTAMP",    "CURRENT_ROLE",
      "CURRENT_USER", "USER",         "SESSION_USER",   "CURRENT_CATALOG",   "CURRENT_SCHEMA"};
  const auto at = static_cast<std::size_t>(std::stoi(std::string(number)));
  return at < names.size() ? names.at(at) : "CURRENT_TIMESTAMP";
}

void add_function(query_facts& to, const pg::result& row, int at) {
  using kind = function_fault::kind;
  const std::string what = row.string(at, 0);
  const std::string name = row.string(at, 1);
  const auto fault = [&](kind why) { to.faults.push_back({name, why}); };
  if (what == "value") {
    const std::string word = value_name(name);
    const bool clock = word.find("TIME") != std::string::npos || word == "CURRENT_DATE";
    to.faults.push_back({word, clock ? kind::clock : kind::session});
    return;
  }
  if (what == "cast") return to.faults.push_back({name, kind::from_text});
  if (what == "operator") return fault(kind::hidden_operator);
  if (what == "object name") return to.faults.push_back({name, kind::session});
  if (what == "levels") return fault(kind::levels);
  if (what == "cast of NULL") {
    to.casts_keep_null = false;
    return;
  }
  if (what == "setting") {
    to.uses_settings = true;
    return;
  }
  if (what == "aggregate") to.aggregates.insert(name);
  if (row.boolean(at, 5)) to.set_returning.insert(name);
  const std::string_view volatility = row.text(at, 2);
  const bool ours = row.boolean(at, 3);  // PostgreSQL's own.
  if (volatility == "clock") return fault(kind::clock);
  if (ours && (is_one_of(clock_functions, name) || (name == "age" && row.integer(at, 4) == 1))) {
    return fault(kind::clock);
  }
  if (volatility == "v") return fault(kind::is_volatile);
  if (volatility != "s") return;
  if (!ours) return fault(kind::stable);
  if (!is_one_of(setting_functions, name)) return fault(kind::session);
  to.uses_settings = true;
}

column_facts column_at(const pg::result& from, int row, int name) {
  return {.name = from.string(row, name),
          .type = from.string(row, name + 1),
          .not_null = false,
          .hashable = from.boolean(row, name + 2),
          .fixed_size = from.boolean(row, name + 3)};
}

// With constants as every session reads them in the same way: '03/02/2024' is not what another
// DateStyle takes it for. The settings are those of the transaction; what it does next may go by
// them, so they are put back.
asio::awaitable<pg::result> query_tables(pg::connection& on, std::vector<pg::parameter> view) {
  const auto before = co_await on.run(
      "SELECT pg_catalog.string_agg(pg_catalog.format('SET LOCAL %I = %L', name, setting), '; ') "
      "FROM pg_catalog.pg_settings WHERE name IN ('DateStyle', 'IntervalStyle', "
      "'extra_float_digits')");
  co_await on.run(
      "SET LOCAL \"DateStyle\" = 'ISO, YMD'; SET LOCAL \"IntervalStyle\" = 'postgres'; "
      "SET LOCAL extra_float_digits = 1");
  pg::result out =
      co_await on.query(std::string(reached) + std::string(tables_sql), std::move(view));
  co_await on.run(before.back().string(0, 0));
  co_return out;
}

}  // namespace

asio::awaitable<query_facts> read_query_facts(pg::connection& on, std::int64_t view) {
  std::vector<pg::parameter> one;
  one.emplace_back(fmt::format("{}", view));
  query_facts out;
  std::map<std::int64_t, table_facts> tables;
  const pg::result listed = co_await query_tables(on, one);
  for (int row = 0; row < listed.rows(); ++row) {
    tables[listed.integer(row, 0)] = {.oid = listed.integer(row, 0),
                                      .schema = listed.string(row, 1),
                                      .name = listed.string(row, 2),
                                      .kind = listed.text(row, 3).front(),
                                      .persistence = listed.text(row, 4).front(),
                                      .row_security = listed.boolean(row, 5),
                                      .storage = listed.boolean(row, 6),
                                      .may_trigger = listed.boolean(row, 7),
                                      .owner = listed.string(row, 8),
                                      .rows = std::stod(listed.string(row, 9)),
                                      .columns = {},
                                      .primary_key = {},
                                      .query = listed.string(row, 10),
                                      .owned = listed.boolean(row, 11),
                                      .foreign_below = listed.string(row, 12),
                                      .subscribed = listed.boolean(row, 13)};
  }
  static const std::string columns =
      std::string(reached) +
      fmt::format(fmt::runtime(columns_sql), traits("a.atttypid", "a.atttypmod", "a.attcollation"));
  const pg::result described = co_await on.query(columns, one);
  for (int row = 0; row < described.rows(); ++row) {
    column_facts column = column_at(described, row, 1);
    column.not_null = described.boolean(row, 5);
    column.virtual_column = described.boolean(row, 6);
    // A date may be taken for one, as in a UNION of both, without a cast that would show it.
    if (column.type.find("with time zone") != std::string::npos) out.uses_settings = true;
    tables[described.integer(row, 0)].columns.push_back(std::move(column));
  }
  const pg::result keys = co_await on.query(std::string(reached) + std::string(keys_sql), one);
  for (int row = 0; row < keys.rows(); ++row) {
    tables[keys.integer(row, 0)].primary_key.push_back(keys.string(row, 1));
  }
  static const std::string functions =
      std::string(reached) + fmt::format(fmt::runtime(functions_sql), object_names);
  const pg::result called = co_await on.query(functions, one);
  for (int row = 0; row < called.rows(); ++row) add_function(out, called, row);
  out.query = tables[view].query;
  out.output = tables[view].columns;
  for (auto& [oid, table] : tables) {
    if (oid == view) continue;
    std::pair<std::string, std::string> name(table.schema, table.name);
    out.tables.emplace(std::move(name), std::move(table));
  }
  co_return out;
}

asio::awaitable<std::vector<column_facts>> read_types(pg::connection& on, std::string query) {
  const auto described = co_await on.run(fmt::format("SELECT * FROM ({}) AS q LIMIT 0", query));
  const pg::result& shape = described.back();
  std::string values;
  for (int column = 0; column < shape.columns(); ++column) {
    values += fmt::format("{}({}, {}, {}, {})", column == 0 ? "" : ", ", column,
                          text::sql_literal(shape.name(column)), shape.type(column),
                          shape.modifier(column));
  }
  const auto found = co_await on.run(fmt::format(
      "SELECT c.name, {} FROM (VALUES {}) AS c(place, name, type, modifier) ORDER BY place",
      traits("c.type::pg_catalog.oid", "c.modifier", "null::pg_catalog.oid"), values));
  std::vector<column_facts> out;
  out.reserve(static_cast<std::size_t>(found.back().rows()));
  for (int row = 0; row < found.back().rows(); ++row) {
    out.push_back(column_at(found.back(), row, 0));
  }
  co_return out;
}

}  // namespace matview::store
