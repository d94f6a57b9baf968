#include "store/durations.hpp"

#include "store/migrations.hpp"
#include <matview/error.hpp>

#include <optional>

namespace matview::store {

namespace {

// The index finds the last 20 of each view: history may be long. Views that were only looked at,
// and not refreshed, have mode none.
constexpr std::string_view durations_sql = R"(
select v.schema, v.name,
       (pg_catalog.percentile_cont(0.5) within group (order by last.seconds) * 1000000)::pg_catalog.int8
  from rows from (pg_catalog.unnest($1::pg_catalog.text[]),
                 pg_catalog.unnest($2::pg_catalog.text[])) v(schema, name)
 cross join lateral (
   select pg_catalog.date_part('epoch', r.finished_at - r.started_at) as seconds
     from matview.refresh r
    where r.schema = v.schema and r.name = v.name and r.outcome = 'done' and r.mode <> 'none'
    order by r.started_at desc
    limit 20) last
 group by v.schema, v.name)";

bool means_no_history(const error& failed) {
  return means_no_schema(failed) || failed.sqlstate() == "42501" || failed.sqlstate() == "42703";
}

std::vector<pg::parameter> columns_of(const std::vector<graph_node>& views) {
  std::vector<std::string> schemas;
  std::vector<std::string> names;
  for (const graph_node& view : views) {
    schemas.push_back(view.schema);
    names.push_back(view.name);
  }
  return {pg::array_literal(schemas), pg::array_literal(names)};
}

}  // namespace

asio::awaitable<duration_map> usual_durations(pg::connection& on,
                                              const std::vector<graph_node>& views) {
  duration_map out;
  const std::vector<pg::parameter> names = columns_of(views);
  std::optional<error> failure;
  pg::result found;
  try {
    found = co_await on.query(std::string(durations_sql), names);
  } catch (const error& failed) {
    failure = failed;
  }
  if (failure) {
    if (means_no_history(*failure)) co_return out;
    throw error(*failure);
  }
  for (int row = 0; row < found.rows(); ++row) {
    out.emplace(std::pair(found.string(row, 0), found.string(row, 1)),
                std::chrono::microseconds(found.integer(row, 2)));
  }
  co_return out;
}

}  // namespace matview::store
