#include "cli/command.hpp"
#include "cli/input_file.hpp"
#include "cli/output.hpp"
#include "cli/run.hpp"
#include "text/quote.hpp"
#include <matview/incremental.hpp>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <string>
#include <vector>

namespace matview::cli {

namespace {

namespace json = boost::json;

struct explain_arguments {
  std::string name;
  std::string sql;
  std::string file;
  bool show_sql = false;
};

asio::awaitable<void> explain_into(const explain_arguments& given, const explain_options& options,
                                   const std::string& query, matview_explanation& into) {
  if (given.name.empty()) {
    into = co_await aexplain_query(query, options);
  } else {
    into = co_await aexplain_matview(given.name, options);
  }
}

std::string_view word_of(view_kind kind) {
  return kind == view_kind::incremental ? "incremental" : "native";
}

json::object values_of(const matview_explanation& told) {
  json::array parts;
  for (const incremental_part& one : told.parts) {
    parts.push_back(
        json::object{{"what", one.what}, {"mechanism", one.mechanism}, {"why", one.why}});
  }
  json::array captured;
  for (const captured_columns& one : told.captured) {
    captured.push_back(json::object{
        {"table", one.table}, {"columns", json::array(one.columns.begin(), one.columns.end())}});
  }
  json::array obstacles;
  for (const incremental_obstacle& one : told.obstacles) {
    json::object obstacle{{"construct", one.construct},
                          {"what", one.what},
                          {"why", one.why},
                          {"instead", one.instead}};
    obstacle["position"] = one.position ? json::value(*one.position) : json::value();
    obstacles.push_back(std::move(obstacle));
  }
  json::array statements;
  for (const incremental_statement& one : told.statements) {
    statements.push_back(json::object{{"name", one.name}, {"sql", one.sql}});
  }
  return {{"view", text_value(told.view)},
          {"kind", word_of(told.kind)},
          {"mechanism", text_value(told.mechanism)},
          {"parts", std::move(parts)},
          {"captured", std::move(captured)},
          {"obstacles", std::move(obstacles)},
          {"notes", json::array(told.notes.begin(), told.notes.end())},
          {"statements", std::move(statements)}};
}

// What the letter stands for.
std::string mechanism_of(const matview_explanation& told) {
  const std::string_view means =
      told.mechanism == "L" ? "changed rows are joined, and added to what is stored"
      : told.mechanism == "K"
          ? "rows whose key a change touches are made anew"
          : "the rows that are aggregated are stored and go by K, the groups by their changes";
  return fmt::format("by mechanism {} ({})", told.mechanism, means);
}

std::string heading(const matview_explanation& told) {
  const bool possible = !told.mechanism.empty();
  if (told.view.empty()) {
    return possible ? "can be incremental, " + mechanism_of(told)
                    : std::string("cannot be incremental: it would be native");
  }
  if (told.kind == view_kind::incremental && !possible) {
    return fmt::format("{} is incremental, but cannot be any more", told.view);
  }
  if (told.kind == view_kind::incremental) {
    return fmt::format("{} is incremental, {}", told.view, mechanism_of(told));
  }
  return fmt::format(
      "{} is native; it {}", told.view,
      possible ? "could be incremental, " + mechanism_of(told) : "cannot be incremental");
}

// Where it is, if `query` is the text that the position is in.
std::string place_of(const incremental_obstacle& one, const std::string& query) {
  if (!one.position) return "\n";
  if (query.empty()) return fmt::format(" (character {})\n", *one.position);
  return fmt::format("\n{}\n", text::caret_lines(query, *one.position));
}

std::string for_people(const matview_explanation& told, const std::string& query, bool show_sql) {
  std::string out = heading(told) + "\n";
  for (const incremental_obstacle& one : told.obstacles) {
    out += fmt::format("\n{}{}  why      {}\n  instead  {}\n", one.what, place_of(one, query),
                       one.why, one.instead);
  }
  if (!told.parts.empty()) out += "\n";
  for (const incremental_part& one : told.parts) {
    out += fmt::format("{:<8} {}: {}\n", one.mechanism, one.what, one.why);
  }
  if (!told.captured.empty()) out += "\n";
  for (const captured_columns& one : told.captured) {
    out += fmt::format("captured {} ({})\n", one.table, fmt::join(one.columns, ", "));
  }
  for (const std::string& note : told.notes) out += fmt::format("\nnote     {}\n", note);
  for (const incremental_statement& one : told.statements) {
    if (show_sql) out += fmt::format("\n-- {}\n{}\n", one.name, one.sql);
  }
  return out;
}

exit_code explain(const explain_arguments& given, const context& with) {
  const explain_options options{.database = with.options.database, .log = with.screen.log()};
  const std::string query = given.file.empty() ? given.sql : read_file(given.file, "one SELECT");
  matview_explanation told;
  run_interruptibly(with.screen, "explaining", explain_into(given, options, query, told));
  if (with.options.format == output_format::json) {
    write_result(json::serialize(values_of(told)) + '\n');
  } else {
    write_result(for_people(told, query, given.show_sql));
  }
  return exit_code::done;
}

}  // namespace

command add_explain(CLI::App& app) {
  const auto given =
      std::make_shared<explain_arguments>();  // Shared: the parser writes, run reads.
  CLI::App* parser = app.add_subcommand(
      "explain", "Show how a view is maintained, or what keeps it from being incremental");
  CLI::Option_group* what = parser->add_option_group("what", "What is explained");
  what->add_option("NAME", given->name, "The view: VIEW or SCHEMA.VIEW")->type_name("");
  what->add_option("--sql", given->sql, "A query that no view has yet")
      ->type_name("SQL")
      ->check(not_empty());
  what->add_option("--file", given->file, "A file that holds it, or - for standard input")
      ->type_name("PATH")
      ->check(not_empty());
  what->require_option(1);
  parser->add_flag("--show-sql", given->show_sql, "Also the SQL that a refresh runs");
  return {parser, [given](const context& with) { return explain(*given, with); }};
}

}  // namespace matview::cli
