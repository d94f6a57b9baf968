#include "trial/script.hpp"

#include <fmt/format.h>

namespace matview::trial {

namespace {

std::string incremental_text(const std::string& name, const std::string& sql) {
  return fmt::format("-- incremental: {0} AS {2};\nCREATE VIEW {1} AS {2};\n", name,
                     reference_of(name), sql);
}

}  // namespace

std::string statement_text(const std::string& sql) {
  const std::size_t line = sql.starts_with("COPY ") ? sql.find('\n') : std::string::npos;
  if (line == std::string::npos) return sql + ";\n";
  return sql.substr(0, line) + ";" + sql.substr(line) + "\n";
}

std::string setup_text(const schema& tables, const std::vector<view_under_trial>& views) {
  std::string text;
  for (const std::string& sql : tables.ddl) text += statement_text(sql);
  for (const std::string& sql : tables.rows) text += statement_text(sql);
  for (const view_under_trial& view : views) {
    for (const definition& one : view.underneath) {
      const std::string sql = to_sql(one.body);
      text += one.materialized ? incremental_text(one.name, sql)
                               : fmt::format("CREATE VIEW {} AS {};\n", one.name, sql);
    }
    text += incremental_text(view.name, to_sql(view.body));
  }
  return text;
}

std::string failure_text(const failure& how) {
  std::string text = fmt::format("-- {} in {}, mode {}, reason: {}\n{}", how.kind, how.view,
                                 how.mode, how.reason, how.details);
  if (!text.ends_with('\n')) text += '\n';
  if (!how.program.empty()) text += "-- program:\n" + how.program + "\n";
  return text;
}

}  // namespace matview::trial
