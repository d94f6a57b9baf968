#include "store/incremental_catalog.hpp"

#include "pg/transaction.hpp"
#include "store/incremental.hpp"
#include <matview/error.hpp>

#include <boost/algorithm/string/replace.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace matview::store {

namespace {

constexpr std::string_view definition_of = R"((
    select df.oid from pg_catalog.pg_class so
      join pg_catalog.pg_class df on df.relnamespace = so.relnamespace and df.relkind = 'v'
       and df.relname = pg_catalog.regexp_replace(so.relname::pg_catalog.text, '^storage',
                                                  'definition')
     where so.oid = {storage_of}))";

// Not by to_regclass(), which fails where the role may not use the schema.
constexpr std::string_view access_sql = R"(
select pg_catalog.count(*) filter (where relname = 'incremental') > 0,
       pg_catalog.count(*) filter (where readable) = 4
       and pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
       and not exists (select from pg_catalog.pg_proc p
                         join pg_catalog.pg_namespace n on n.oid = p.pronamespace
                        where n.nspname = 'matview'
                          and p.proname in ('barred_writer', 'capture_fault', 'dependencies', 'family', 'fingerprint',
                                            'origin', 'stray_triggers', 'triggers')
                          and not pg_catalog.has_function_privilege(p.oid, 'EXECUTE'))
  from (select c.relname, pg_catalog.has_schema_privilege(n.oid, 'USAGE')
               and pg_catalog.has_table_privilege(c.oid, 'SELECT') as readable
          from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where n.nspname = 'matview' and c.relkind = 'r'
           and c.relname in ('incremental', 'capture', 'change_log', 'mark')) as own)";

constexpr std::string_view states_sql = R"(
select i.id, c.oid::pg_catalog.int8,
       case when c.oid is null then '' else pg_catalog.format('%I.%I', n.nspname, c.relname) end,
       coalesce(n.nspname = 'matview', false),
       i.watermark is null and i.last_refresh < pg_catalog.clock_timestamp() - interval '1 hour',
       d.oid is not null, i.watermark is not null, coalesce(i.detached, ''),
       case when whole.yes then coalesce(matview.capture_fault(i.id), '') else '' end,
       case when whole.yes
            then i.fingerprint is not distinct from
                 matview.fingerprint(i.id, i.depends)
            else false end,
       i.log_limit,
       pg_catalog.floor(extract(epoch from pg_catalog.clock_timestamp() - i.last_refresh))
         ::pg_catalog.int8,
       case when not pg_catalog.has_table_privilege(c.relowner, i.storage::pg_catalog.oid, 'SELECT')
            then pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(c.relowner)) else '' end,
       i.storage::pg_catalog.text,
       exists (select from pg_catalog.pg_rewrite r
                 join pg_catalog.pg_depend s on s.objid = r.oid
                  and s.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
                  and s.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
                where r.ev_class = c.oid and s.refobjid = i.storage::pg_catalog.oid),
       exists (select from pg_catalog.unnest(c.reloptions) o (o)
                where o.o in ('security_invoker=true', 'security_invoker=on',
                              'security_invoker=yes', 'security_invoker=1')),
       coalesce(matview.barred_writer(i.id)::pg_catalog.text, ''),
       exists (select from matview.capture k where k.view = i.id
                and pg_catalog.to_regclass('matview.log_' || k.log) is null)
  from matview.incremental i
  left join pg_catalog.pg_class c on c.oid = i.view::pg_catalog.oid
  left join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  left join pg_catalog.pg_class d on d.oid = i.definition::pg_catalog.oid
 cross join lateral (select c.oid is not null and d.oid is not null and i.watermark is not null
                            as yes) as whole
 where {} or i.view::pg_catalog.oid = any ($1::pg_catalog.oid[])
 order by i.id)";

// The xids in the log of another cluster's database mean nothing here.
constexpr std::string_view logs_sql = R"(
select k.view, k.log,
       case when c.oid is null then '' else pg_catalog.format('%I.%I', n.nspname, c.relname) end,
       s.id is not null,
       t.oid is not null and pg_catalog.has_table_privilege(t.oid, 'SELECT')
       and l.origin is not distinct from matview.origin()
  from matview.capture k
  join matview.change_log l on l.id = k.log
  join matview.incremental i on i.id = k.view
  left join matview.incremental s on s.storage = l.base
  -- By the name that users know.
  left join pg_catalog.pg_class c on c.oid = coalesce(s.view, l.base)::pg_catalog.oid
  left join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  left join pg_catalog.pg_class t
    on t.relname = 'log_' || l.id and t.relkind = 'r'
   and t.relnamespace = (select oid from pg_catalog.pg_namespace where nspname = 'matview')
 where i.watermark is not null
   and ({} or i.view::pg_catalog.oid = any ($1::pg_catalog.oid[]))
 order by k.view, k.log)";

// What matview.refresh() looks for. A view leaves its own change out of the log of a storage.
constexpr std::string_view count_sql = R"(
select {view}, {place},
       (select pg_catalog.count(*) from (
          select from matview.log_{log} l
           where l.__mv_xid >= pg_catalog.pg_snapshot_xmin(i.watermark)
             and not pg_catalog.pg_visible_in_snapshot(l.__mv_xid, i.watermark)
             {others}
           limit {most} + 1) as x),
       exists (select from matview.mark m
                where m.log = {log} and not pg_catalog.pg_visible_in_snapshot(m.xid, i.watermark))
  from matview.incremental i where i.id = {view} and i.watermark is not null)";

incremental_state state_at(const pg::result& from, int row) {
  incremental_state out;
  out.id = static_cast<int>(from.integer(row, 0));
  if (!from.is_null(row, 1)) out.view = from.integer(row, 1);
  out.quoted = from.string(row, 2);
  out.being_made = from.boolean(row, 3);
  out.cut_off = out.being_made && !from.is_null(row, 4) && from.boolean(row, 4);
  out.has_definition = from.boolean(row, 5);
  out.filled = from.boolean(row, 6);
  out.detached = from.string(row, 7);
  out.fault = from.string(row, 8);
  out.fits = from.boolean(row, 9);
  out.log_limit = from.integer(row, 10);
  if (!from.is_null(row, 11)) out.since_refresh = std::chrono::seconds(from.integer(row, 11));
  out.shut_out = from.is_null(row, 12) ? "" : from.string(row, 12);
  out.storage = from.string(row, 13);
  out.shows_storage = from.boolean(row, 14);
  out.by_invoker = from.boolean(row, 15);
  out.barred_writer = from.string(row, 16);
  out.lost_log = from.boolean(row, 17);
  return out;
}

std::vector<pg::parameter> oids_of(const std::vector<std::int64_t>& views) {
  std::vector<pg::parameter> out;
  out.emplace_back(fmt::format("{{{}}}", fmt::join(views, ",")));
  return out;
}

incremental_state* state_of(std::vector<incremental_state>& all, std::int64_t id) {
  const auto found = std::find_if(all.begin(), all.end(),
                                  [id](const incremental_state& one) { return one.id == id; });
  return found == all.end() ? nullptr : &*found;
}

// One SELECT for each log of each view, and what cannot be counted noted where it belongs.
std::string counts(const pg::result& logs, std::int64_t most, std::vector<incremental_state>& to) {
  std::string out;
  for (int row = 0; row < logs.rows(); ++row) {
    const std::int64_t view = logs.integer(row, 0);
    if (!logs.boolean(row, 4)) {
      if (incremental_state* of = state_of(to, view)) of->logs_unreadable = true;
      continue;
    }
    std::string sql(count_sql);
    const auto set = [&sql](std::string_view name, const std::string& value) {
      boost::algorithm::replace_all(sql, name, value);
    };
    set("{view}", fmt::format("{}", view));
    set("{place}", fmt::format("{}", row));
    set("{log}", fmt::format("{}", logs.integer(row, 1)));
    set("{most}", fmt::format("{}", most));
    set("{others}", logs.boolean(row, 3) ? "and l.__mv_xid is distinct from i.watermark_xid" : "");
    out += (out.empty() ? "" : "\nunion all") + sql;
  }
  return out;
}

void add_counts(const pg::result& counted, const pg::result& logs, std::int64_t most,
                std::vector<incremental_state>& to) {
  std::int64_t largest = 0;
  int last_view = 0;
  for (int row = 0; row < counted.rows(); ++row) {
    incremental_state* of = state_of(to, counted.integer(row, 0));
    if (of == nullptr) continue;
    if (of->id != std::exchange(last_view, of->id)) largest = 0;
    const std::int64_t rows = counted.integer(row, 2);
    const bool truncated = counted.boolean(row, 3);
    of->changed += std::min(rows, most);
    of->more = of->more || rows > most;
    const bool names = !of->truncated && (truncated || rows > largest);
    if (names) of->changed_in = logs.string(static_cast<int>(counted.integer(row, 1)), 2);
    of->truncated = of->truncated || truncated;
    largest = std::max(largest, rows);
  }
}

asio::awaitable<std::vector<incremental_state>> states_on(pg::connection& on,
                                                          const std::vector<std::int64_t>& views,
                                                          bool all, std::int64_t most) {
  const std::string_view every = all ? "true" : "false";
  const pg::result found =
      co_await on.query(fmt::format(fmt::runtime(states_sql), every), oids_of(views));
  std::vector<incremental_state> out;
  out.reserve(static_cast<std::size_t>(found.rows()));
  for (int row = 0; row < found.rows(); ++row) out.push_back(state_at(found, row));
  const pg::result logs =
      co_await on.query(fmt::format(fmt::runtime(logs_sql), every), oids_of(views));
  std::string sql = counts(logs, most, out);
  if (sql.empty()) co_return out;
  sql += "\norder by 1, 2";
  const pg::result counted = co_await on.query(std::move(sql));
  add_counts(counted, logs, most, out);
  co_return out;
}

}  // namespace

std::string with_incremental(std::string_view sql) {
  std::string out(sql);
  boost::algorithm::replace_all(out, "{definition_of}", definition_of);
  boost::algorithm::replace_all(out, "{is_incremental}", is_incremental);
  boost::algorithm::replace_all(out, "{is_helper}", is_helper);
  boost::algorithm::replace_all(out, "{storage_of}", storage_of);
  return out;
}

asio::awaitable<incremental_states> read_incremental(pg::connection& on,
                                                     const std::vector<std::int64_t>& views,
                                                     bool all, std::int64_t most) {
  incremental_states out;
  const pg::result access = co_await on.query(std::string(access_sql));
  out.there = access.boolean(0, 0);
  if (!out.there) co_return out;
  if (!access.boolean(0, 1)) {
    out.unknown = "this role may not read how incremental views stand (matview.incremental)";
    co_return out;
  }
  pg::transaction reading(on);
  std::optional<error> failure;
  try {
    co_await reading.run("SELECT");
    out.views = co_await states_on(on, views, all, most);
  } catch (const error& failed) {
    failure = failed;
  }
  if (failure && !failure->connection_usable()) throw error(*failure);
  co_await reading.rollback();
  if (failure && failure->code() == errc::cancelled) throw error(*failure);
  if (failure) out.unknown = std::string("how incremental views stand: ") + failure->what();
  co_return out;
}

}  // namespace matview::store
