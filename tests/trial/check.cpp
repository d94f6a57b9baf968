#include "trial/check.hpp"

#include <fmt/format.h>

#include <cstdio>

namespace matview::trial {

namespace {

constexpr int shown_rows = 12;

// Also for a handful of rows.
constexpr const char* parallel_plans =
    "SET LOCAL min_parallel_table_scan_size = 0; SET LOCAL min_parallel_index_scan_size = 0; "
    "SET LOCAL parallel_setup_cost = 0; SET LOCAL parallel_tuple_cost = 0";

class open_transaction final {
 public:
  open_transaction(connection& on, const schema& tables) : on_(on) {
    on_.execute("BEGIN ISOLATION LEVEL REPEATABLE READ");
    try {
      // Before the snapshot, which it does not take: a TRUNCATE is then over, or waits.
      on_.execute(lock_sql(tables));
    } catch (...) {
      on_.roll_back();
      throw;
    }
  }
  open_transaction(const open_transaction&) = delete;
  open_transaction& operator=(const open_transaction&) = delete;
  ~open_transaction() { on_.roll_back(); }

 private:
  connection& on_;
};

// Not of the snapshot: the function reads the catalog as it is now.
std::string layout(connection& on, const schema& tables) {
  std::string result;
  for (const table& one : tables.tables) {
    if (one.kind != table_kind::partitioned) continue;
    result += on.query_one(
        fmt::format("SELECT coalesce(string_agg(relid::oid::text, ' ' ORDER BY relid), '') FROM "
                    "pg_partition_tree('{}')",
                    one.name));
  }
  return result;
}

std::string table_list(const schema& tables) {
  std::vector<std::string> names;
  for (const table& one : tables.tables) names.push_back(one.name);
  return joined(names, ", ");
}

// Where a table was changed so that the program does not fit any more, the library compiles anew.
// To see whether the contents are right it is enough to have them made anew.
check_result refreshed(connection& on, const std::string& view, const std::string& rest) {
  const rows answer =
      on.query(fmt::format("SELECT mode, reason FROM matview.refresh('{}'{})", view, rest));
  check_result result;
  if (!answer.empty() && answer[0].size() >= 2) {
    result.mode = answer[0][0];
    result.reason = answer[0][1] == "NULL" ? "" : answer[0][1];
  }
  if (result.mode == "recompile") {
    const bool locked = rest.find("true, true") != std::string::npos;
    on.execute(fmt::format(
        "UPDATE matview.incremental SET fingerprint = matview.structure(id) WHERE view = '{}'::"
        "regclass",
        view));
    on.query(fmt::format("SELECT mode FROM matview.refresh('{}', 'full', {})", view, locked));
  }
  return result;
}

}  // namespace

std::string analyze_sql(const schema& tables) {
  return "ANALYZE " + table_list(tables);
}

std::string lock_sql(const schema& tables) {
  return "LOCK TABLE " + table_list(tables) + " IN ACCESS SHARE MODE";
}

std::string comparison_sql(const checked_view& view) {
  return fmt::format(
      "SELECT 'missing' AS what, q.* FROM (({1}) EXCEPT ALL SELECT * FROM {0}) AS q UNION ALL "
      "SELECT 'extra', q.* FROM (SELECT * FROM {0} EXCEPT ALL ({1})) AS q",
      view.name, view.sql);
}

std::string difference(connection& on, const checked_view& view) {
  std::string text;
  const rows all = on.query(comparison_sql(view) + fmt::format(" LIMIT {}", shown_rows));
  for (const auto& row : all) text += "  " + joined(row, " | ") + "\n";
  return text;
}

check_result refresh_and_compare(connection& on, const schema& tables, const checked_view& view,
                                 const std::string& mode, bool roll_back) {
  const open_transaction until_the_end(on, tables);
  const std::string before = layout(on, tables);
  if (mode == "diff" || mode == "swap") on.execute(parallel_plans);
  check_result result = refreshed(on, view.name, fmt::format(", '{}', true, true", mode));
  result.difference = difference(on, view);
  result.unclear = layout(on, tables) != before;
  on.execute(roll_back ? "ROLLBACK" : "COMMIT");
  return result;
}

check_result refresh_plainly(connection& on, const checked_view& view) {
  return refreshed(on, view.name, ", 'auto', false, true");
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

void create_natively(connection& on, const std::string& name, const std::string& sql) {
  if (on.query_one("SELECT to_regclass('" + name + "')") == "NULL") {
    on.execute("CREATE MATERIALIZED VIEW " + name + " AS " + sql);
  }
}

void end_prepared(connection& on) noexcept {
  on.roll_back();
  try {
    for (const auto& row : on.query("SELECT gid FROM pg_prepared_xacts WHERE database = "
                                    "current_database()")) {
      on.execute("ROLLBACK PREPARED '" + row[0] + "'");
    }
  } catch (const std::exception& lost) {
    std::fprintf(stderr, "%s\n", lost.what());
  }
}

bool is_refused_mode(const std::string& mode, const sql_error& error) {
  const std::string kind = error.sqlstate().substr(0, 2);
  return mode != "auto" && mode != "full" && (kind == "0A" || kind == "55" || kind == "P0");
}

}  // namespace matview::trial
