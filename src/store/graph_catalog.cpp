#include "store/graph_catalog.hpp"

#include "store/incremental_catalog.hpp"
#include <matview/error.hpp>

#include <map>
#include <string>
#include <utility>

namespace matview::store {

namespace {

// The whole graph. What is worth knowing of how it is found:
//
// - A view depends on what the rule of its query depends on (pg_rewrite, then pg_depend); a view
// may
//   have other rules, for INSERT, which say nothing about what it shows. A function with a body in
//   BEGIN ATOMIC (prosqlbody), and an aggregate, depends on things in its own name; an operator
//   stands for its function. Of any other function the catalog does not know what it reads: it is
//   in the graph if it may read tables at all (not immutable, not in C) and nobody's extension.
// - What PostgreSQL brings along has an oid below 16384 and is left out.
// - An incremental view is in the catalog a plain view over its storage; what it is made from is
//   what matview.definition_<id> depends on, whose number is that of the storage. Its parts are no
//   nodes.
// - `reached` holds edges rather than nodes, so that one recursion yields both. It begins with all
//   materialized views at once, and so need not go on from one that it meets.
// - Whether matview.view is there is found out by the same statement: a query text that stands in
// it
//   is run by ts_stat() if so. Of all functions that run a text and return rows it is the one that
//   is there in every build of PostgreSQL (query_to_xml() needs libxml); it yields the words of a
//   tsvector, here one for each declaration: `<oid of the view> <oid of the other, or 0> <name>`.
// - The size of a view is found under a lock that waits for a full refresh of it: not asked for
// then.
constexpr std::string_view graph_sql = R"(
with recursive
declared as materialized (
  select pg_catalog.split_part(w.word, ' ', 1)::pg_catalog.oid as view,
         pg_catalog.split_part(w.word, ' ', 2)::pg_catalog.oid as upstream,
         pg_catalog.regexp_replace(w.word, '^[0-9]+ [0-9]+ ', '') as spelled
    from pg_catalog.ts_stat(case when exists (
             select from pg_catalog.pg_class c
               join pg_catalog.pg_namespace n on n.oid = c.relnamespace
               join pg_catalog.pg_attribute a on a.attrelid = c.oid
              where n.nspname = 'matview' and c.relname = 'view' and a.attname = 'depends_on'
                and pg_catalog.has_schema_privilege(n.oid, 'USAGE')
                and pg_catalog.has_table_privilege(c.oid, 'SELECT'))
           then $read$
             with relation as (
               select c.oid, spelled
                 from pg_catalog.pg_class c
                 join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                cross join lateral pg_catalog.unnest(array[
                        pg_catalog.format('%I.%I', n.nspname, c.relname),
                        pg_catalog.format('"%s"."%s"', pg_catalog.replace(n.nspname, '"', '""'),
                                          pg_catalog.replace(c.relname, '"', '""'))]) spelled
                where c.relkind in ('m', 'v', 'r', 'p', 'f'))
             select pg_catalog.array_to_tsvector(
                      array[pg_catalog.concat_ws(' ', c.oid, coalesce(u.oid, 0), d.spelled)])
               from matview.view v
              cross join lateral pg_catalog.unnest(v.depends_on) d(spelled)
               join pg_catalog.pg_namespace n on n.nspname = v.schema
               join pg_catalog.pg_class c
                 on c.relnamespace = n.oid and c.relname = v.name
                and (c.relkind = 'm' or {is_incremental})
               left join relation u on u.spelled = d.spelled
           $read$
           else 'select null::pg_catalog.tsvector where false' end) w),
helper as materialized (
  select c.oid from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
   where {is_helper}),
incremental as materialized (
  select c.oid as view, {storage_of} as storage, {definition_of} as definition
    from pg_catalog.pg_class c
   where {is_incremental} and c.oid not in (select oid from helper)),
reached(from_class, from_object, class, object, expand, known) as (
  select 0::pg_catalog.oid, 0::pg_catalog.oid,
         'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, c.oid, true, ''
    from pg_catalog.pg_class c
   where c.relkind = 'm' or c.oid in (select view from incremental)
  union
  select r.class, r.object, t.class, t.object, t.expand, t.known
    from reached r
   cross join lateral (
     select d.refclassid, d.refobjid, 'catalog'
       from pg_catalog.pg_rewrite w
       join pg_catalog.pg_depend d on d.objid = w.oid
      where r.class = 'pg_catalog.pg_class'::pg_catalog.regclass
        and w.ev_class = case when r.object in (select view from incremental)
              then (select i.definition from incremental i where i.view = r.object)
              else r.object end
        and w.ev_type = '1' and d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
        and (d.refclassid, d.refobjid)
              <> ('pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, w.ev_class)
     union all
     select d.refclassid, d.refobjid, 'catalog'
       from pg_catalog.pg_proc p
       join pg_catalog.pg_depend d on d.objid = p.oid
      where r.class = 'pg_catalog.pg_proc'::pg_catalog.regclass and p.oid = r.object
        and (p.prosqlbody is not null or p.prokind = 'a')
        and d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
     union all
     select 'pg_catalog.pg_class'::pg_catalog.regclass, d.upstream, 'declared'
       from declared d
      where r.class = 'pg_catalog.pg_class'::pg_catalog.regclass and d.view = r.object
        and d.upstream <> 0) d(class, object, known)
   cross join lateral (
     select d.class, c.oid,
            c.relkind <> 'm' and c.oid not in (select view from incremental), d.known
       from pg_catalog.pg_class c
      where d.class = 'pg_catalog.pg_class'::pg_catalog.regclass and c.oid = d.object
        and c.relkind in ('m', 'v', 'r', 'p', 'f') and c.oid not in (select oid from helper)
     union all
     select 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, true, d.known
       from pg_catalog.pg_proc p
       join pg_catalog.pg_language l on l.oid = p.prolang
      where p.oid = case d.class
              when 'pg_catalog.pg_proc'::pg_catalog.regclass then d.object
              when 'pg_catalog.pg_operator'::pg_catalog.regclass
                then (select o.oprcode from pg_catalog.pg_operator o where o.oid = d.object) end
        and (p.prosqlbody is not null or p.prokind = 'a'
             or (l.lanname not in ('internal', 'c') and p.provolatile <> 'i'
                 and not exists (select from pg_catalog.pg_depend e
                                  where e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                                    and e.objid = p.oid and e.deptype = 'e')))
     ) t(class, object, expand, known)
   where r.expand and d.object >= 16384),
locked as materialized (
  select l.relation from pg_catalog.pg_locks l
   where l.mode = 'AccessExclusiveLock' and l.relation is not null),
node as (select distinct r.class, r.object from reached r)
select 'c', c.oid, null::pg_catalog.text, null::pg_catalog.oid, n.nspname, c.relname::pg_catalog.text,
       case when i.view is null then c.relkind::pg_catalog.text else 'I' end,
       c.relkind <> 'm' or c.relispopulated, pg_catalog.has_schema_privilege(n.oid, 'USAGE'),
       pg_catalog.pg_table_is_visible(c.oid), false,
       case when held.oid not in (select relation from locked)
            then pg_catalog.pg_total_relation_size(held.oid) end
  from node join pg_catalog.pg_class c on c.oid = node.object
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  left join incremental i on i.view = c.oid
 cross join lateral (select case when c.relkind = 'm' then c.oid else i.storage end) held(oid)
 where node.class = 'pg_catalog.pg_class'::pg_catalog.regclass
union all
select 'p', p.oid, null, null, n.nspname,
       pg_catalog.format('%I(%s)', p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)),
       'F', true, pg_catalog.has_schema_privilege(n.oid, 'USAGE'),
       pg_catalog.pg_function_is_visible(p.oid), p.prosqlbody is null and p.prokind <> 'a', null
  from node join pg_catalog.pg_proc p on p.oid = node.object
  join pg_catalog.pg_namespace n on n.oid = p.pronamespace
 where node.class = 'pg_catalog.pg_proc'::pg_catalog.regclass
union all
select case r.from_class when 'pg_catalog.pg_class'::pg_catalog.regclass then 'c' else 'p' end,
       r.from_object,
       case r.class when 'pg_catalog.pg_class'::pg_catalog.regclass then 'c' else 'p' end,
       r.object, r.known, null, null, null, null, null, null, null
  from reached r where r.from_object <> 0
union all
select 'c', d.view, '', null, d.spelled, null, null, null, null, null, null, null
  from declared d where d.upstream = 0)";

// The planner expects millions of rows of a recursion that yields thousands, and would compile the
// statement for seconds to save milliseconds. In the same message, so it ends with it.
constexpr std::string_view no_jit = "SET LOCAL jit = off; ";

// One key for all programs, whatever their version. The number spells "depends" in ASCII.
constexpr std::string_view lock_sql = "SELECT pg_catalog.pg_advisory_xact_lock(28259031083541619)";

constexpr std::string_view spelled_sql = R"(
select pg_catalog.format('"%s"."%s"', pg_catalog.replace(n.nspname, '"', '""'),
                         pg_catalog.replace(c.relname, '"', '""'))
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
 where c.oid = pg_catalog.to_regclass($1) and c.relkind in ('m', 'v', 'r', 'p', 'f'))";

constexpr std::string_view add_sql = R"(
with told as (select distinct name from pg_catalog.unnest($3::pg_catalog.text[]) name),
     fresh as (select t.name from told t
                where not exists (select from matview.view v
                                   where v.schema = $1 and v.name = $2 and t.name = any (v.depends_on))),
     kept as (
       insert into matview.view as v (schema, name, depends_on)
       select $1, $2, pg_catalog.array_agg(f.name order by f.name) from fresh f
       having pg_catalog.count(*) > 0
       on conflict (schema, name) do update set depends_on = v.depends_on || excluded.depends_on)
select pg_catalog.count(*) from fresh)";

constexpr std::string_view remove_sql = R"(
with old as (select v.depends_on from matview.view v where v.schema = $1 and v.name = $2 for update),
     kept as (select coalesce(pg_catalog.array_agg(d), '{}') as names
                from old, pg_catalog.unnest(old.depends_on) d
               where d <> all ($3::pg_catalog.text[])),
     changed as (update matview.view v set depends_on = kept.names from kept
                  where v.schema = $1 and v.name = $2)
select coalesce(pg_catalog.sum(pg_catalog.cardinality(old.depends_on)), 0)
         - (select pg_catalog.cardinality(names) from kept)
  from old)";

node_kind kind_of(char relkind) {
  switch (relkind) {
    case 'm':
      return node_kind::materialized_view;
    case 'I':
      return node_kind::incremental_view;
    case 'v':
      return node_kind::view;
    case 'f':
      return node_kind::foreign_table;
    case 'F':
      return node_kind::function;
    default:
      return node_kind::table;
  }
}

graph_node node_at(const pg::result& from, int row) {
  return {.schema = from.string(row, 4),
          .name = from.string(row, 5),
          .kind = kind_of(from.text(row, 6).front()),
          .oid = static_cast<std::uint32_t>(from.integer(row, 1)),
          .populated = from.boolean(row, 7),
          .accessible = from.boolean(row, 8),
          .in_path = from.boolean(row, 9),
          .opaque = from.boolean(row, 10),
          .bytes = from.is_null(row, 11) ? std::nullopt : std::optional(from.integer(row, 11))};
}

// Relations and functions have their oids from two catalogs.
using key = std::pair<char, std::int64_t>;

key key_at(const pg::result& from, int row, int column) {
  return {from.text(row, column).front(), from.integer(row, column + 1)};
}

std::vector<pg::parameter> values_of(const graph_node& view,
                                     const std::vector<std::string>& quoted) {
  return {view.schema, view.name, pg::array_literal(quoted)};
}

}  // namespace

asio::awaitable<graph_rows> read_graph(pg::connection& on) {
  std::string sql = std::string(no_jit) + with_incremental(graph_sql);
  const std::vector<pg::result> answers = co_await on.run(std::move(sql));
  const pg::result& found = answers.back();
  graph_rows out;
  std::map<key, std::size_t> place;
  for (int row = 0; row < found.rows(); ++row) {
    if (found.is_null(row, 6)) continue;
    place.emplace(key_at(found, row, 0), out.nodes.size());
    out.nodes.push_back(node_at(found, row));
  }
  for (int row = 0; row < found.rows(); ++row) {
    if (!found.is_null(row, 6)) continue;
    const auto from = place.find(key_at(found, row, 0));
    if (from == place.end()) continue;  // It was dropped while the statement ran.
    if (found.text(row, 2).empty()) {
      out.broken.push_back({out.nodes[from->second].display(), found.string(row, 4)});
      continue;
    }
    const auto to = place.find(key_at(found, row, 2));
    if (to == place.end()) continue;
    out.edges.push_back(
        {from->second, to->second,
         found.text(row, 4) == "declared" ? edge_source::declared : edge_source::catalog});
  }
  co_return out;
}

asio::awaitable<std::optional<std::string>> spelled_name(pg::connection& on,
                                                         const identifier& name) {
  std::vector<pg::parameter> values;
  values.emplace_back(name.quoted());
  const pg::result found = co_await on.query(std::string(spelled_sql), std::move(values));
  if (found.rows() == 0) co_return std::nullopt;
  co_return found.string(0, 0);
}

asio::awaitable<void> lock_declarations(pg::connection& on) {
  co_await on.query(std::string(lock_sql));
}

asio::awaitable<std::int64_t> add_declarations(pg::connection& on, const graph_node& view,
                                               const std::vector<std::string>& quoted) {
  const pg::result added = co_await on.query(std::string(add_sql), values_of(view, quoted));
  co_return added.integer(0, 0);
}

asio::awaitable<std::int64_t> remove_declarations(pg::connection& on, const graph_node& view,
                                                  const std::vector<std::string>& quoted) {
  const pg::result removed = co_await on.query(std::string(remove_sql), values_of(view, quoted));
  co_return removed.rows() == 0 ? 0 : removed.integer(0, 0);
}

}  // namespace matview::store
