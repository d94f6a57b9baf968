#include "cli/command.hpp"
#include "cli/input_file.hpp"
#include "cli/output.hpp"
#include "cli/run.hpp"
#include "text/quote.hpp"
#include "text/utf8.hpp"
#include <matview/incremental.hpp>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
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
  std::string format;  // Empty: what --format says before the command.
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
  json::array operators;
  for (const incremental_operator& one : told.operators) {
    operators.push_back(json::object{
        {"depth", one.depth}, {"what", one.what}, {"mechanism", one.mechanism}, {"why", one.why}});
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
          {"operators", std::move(operators)},
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

// A SELECT may show a hundred columns.
std::string shortened(const std::string& what) {
  constexpr std::size_t most = 72;
  std::size_t end = std::min(most, what.size());
  while (end > 0 && end < what.size() && !text::starts_character(what[end])) --end;
  return on_one_line(what.substr(0, end) + (end < what.size() ? "..." : ""));
}

std::string for_people(const matview_explanation& told, const std::string& query) {
  std::string out = heading(told) + "\n";
  for (const incremental_obstacle& one : told.obstacles) {
    out += fmt::format("\n{}{}  why      {}\n  instead  {}\n", one.what, place_of(one, query),
                       one.why, one.instead);
  }
  if (!told.parts.empty()) out += "\n";
  for (const incremental_part& one : told.parts) {
    out += fmt::format("{:<8} {}: {}\n", one.mechanism, one.what, one.why);
  }
  if (!told.operators.empty()) out += "\noperator by operator\n";
  for (const incremental_operator& one : told.operators) {
    out += fmt::format("{:<8} {:{}}{}: {}\n", one.mechanism, "", 2 * one.depth, shortened(one.what),
                       one.why);
  }
  if (!told.captured.empty()) out += "\n";
  for (const captured_columns& one : told.captured) {
    out += fmt::format("captured {} ({})\n", one.table, fmt::join(one.columns, ", "));
  }
  for (const std::string& note : told.notes) out += fmt::format("\nnote     {}\n", note);
  return out;
}

// The pieces of statements; all else as comments.
std::string as_sql(const matview_explanation& told, const std::string& query) {
  std::string out = "-- ";
  const std::string text = for_people(told, query);
  for (std::size_t at = 0; at + 1 < text.size(); ++at) {
    const bool ends_line = text[at] == '\n' || text[at] == '\r';  // So does a comment end.
    out += ends_line ? '\n' : text[at];
    if (ends_line) out += "-- ";
  }
  out += '\n';
  for (const incremental_statement& one : told.statements) {
    out += fmt::format("\n-- {}\n{};\n", one.name, one.sql);
  }
  return out;
}

std::string rows_of(const matview_explanation& told) {
  table rows({{"DEPTH"}, {"WHAT"}, {"MECHANISM"}, {"WHY"}});
  for (const incremental_operator& one : told.operators) {
    rows.add({}, {}, {fmt::format("{}", one.depth), one.what, one.mechanism, one.why});
  }
  return rows.text(output_format::tsv);
}

std::string text_of(const matview_explanation& told, const std::string& query,
                    const std::string& format) {
  if (format == "json") return json::serialize(values_of(told)) + '\n';
  if (format == "sql") return as_sql(told, query);
  return format == "tsv" ? rows_of(told) : for_people(told, query);
}

exit_code explain(const explain_arguments& given, const context& with) {
  const explain_options options{.database = with.options.database, .log = with.screen.log()};
  const std::string query = given.file.empty() ? given.sql : read_file(given.file, "one SELECT");
  matview_explanation told;
  run_interruptibly(with.screen, "explaining", explain_into(given, options, query, told));
  write_result(text_of(told, query, chosen_format(given.format, with.options.format)));
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
  parser
      ->add_option(
          "--format", given->format,
          "text, json, tsv (the operators), or sql: the pieces that a refresh composes its "
          "statements from")
      ->type_name("FORMAT")
      ->check(one_of({"text", "json", "tsv", "sql"}));
  return {parser, [given](const context& with) { return explain(*given, with); }};
}

}  // namespace matview::cli
