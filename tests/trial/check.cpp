#include "trial/check.hpp"

#include <fmt/format.h>

#include <cstdio>

namespace matview::trial {

std::string reference_of(const std::string& view) {
  return view + "_query";
}

std::string comparison_sql(const std::string& view) {
  constexpr int shown_rows = 12;
  return fmt::format(
      "SELECT 'missing' AS what, q.* FROM (SELECT * FROM {1} EXCEPT ALL SELECT * FROM {0}) AS q "
      "UNION ALL SELECT 'extra', q.* FROM (SELECT * FROM {0} EXCEPT ALL SELECT * FROM {1}) AS q "
      "LIMIT {2}",
      view, reference_of(view), shown_rows);
}

std::string lock_sql(const std::string& view) {
  return "LOCK TABLE " + reference_of(view) + " IN ACCESS SHARE MODE";
}

std::string analyze_sql(const schema& tables) {
  std::vector<std::string> names;
  for (const table& one : tables.tables) names.push_back(one.name);
  return "ANALYZE " + joined(names, ", ");
}

// The function does not keep to the snapshot: it reads the catalog as it is now.
std::string layout(connection& on) {
  return on.query_one(
      "SELECT coalesce(string_agg(part.relid::oid::text, ' ' ORDER BY part.relid), '') FROM "
      "pg_class AS top, LATERAL pg_partition_tree(top.oid) AS part WHERE top.relkind = 'p' AND "
      "top.relnamespace = current_schema()::regnamespace");
}

verdict judge_query(connection& on, const std::string& sql) {
  constexpr double dear = 2000;  // About 20 ms, in the planner's units.
  try {
    const std::string plan = on.query("EXPLAIN " + sql).at(0).at(0);
    const std::size_t total = plan.find("..", plan.find("cost=")) + 2;
    return std::stod(plan.substr(total)) > dear ? verdict::dear : verdict::good;
  } catch (const sql_error&) {
    return verdict::invalid;
  }
}

std::vector<std::string> ends_of_prepared(connection& on) {
  std::vector<std::string> result;
  for (const auto& row :
       on.query("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()")) {
    result.push_back("ROLLBACK PREPARED '" + row[0] + "'");
  }
  return result;
}

void end_prepared(connection& on) noexcept {
  on.roll_back();
  try {
    for (const std::string& sql : ends_of_prepared(on)) on.execute(sql);
  } catch (const std::exception& lost) {
    std::fprintf(stderr, "%s\n", lost.what());
  }
}

bool is_refused_mode(const std::string& mode, const sql_error& error) {
  const std::string kind = error.sqlstate().substr(0, 2);
  return mode != "auto" && mode != "full" && (kind == "0A" || kind == "55" || kind == "P0");
}

bool is_disturbance(const sql_error& error) {
  return error.sqlstate().starts_with("XX") || (error.mentions("matview.") && !error.is_conflict());
}

}  // namespace matview::trial
