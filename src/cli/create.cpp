#include "cli/command.hpp"
#include "cli/index_columns.hpp"
#include "cli/input_file.hpp"
#include "cli/report_table.hpp"
#include <matview/identifier.hpp>
#include <matview/views.hpp>

#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace matview::cli {

namespace {

struct create_arguments {
  std::string name;
  std::string sql;
  std::string file;
  bool no_data = false;
  bool if_not_exists = false;
  std::vector<std::string> indexes;
  std::vector<std::string> unique_indexes;
  std::string comment;
  std::string kind = "native";
  timeout_options timeouts;
};

// Says in which file the fault is, when it is in one.
error in_file(const create_arguments& given, const error& failed) {
  const bool about_query = failed.position() || failed.code() == errc::invalid_select;
  if (given.file.empty() || !about_query) return failed;
  return {failed.code(),
          fmt::format("{}: {}", given.file == "-" ? "standard input" : given.file, failed.what()),
          {.sqlstate = failed.sqlstate(),
           .hint = failed.hint(),
           .position = failed.position(),
           .connection_usable = failed.connection_usable()}};
}

asio::awaitable<void> create_one(const create_arguments& given, const std::string& query,
                                 const create_options& options, table& into) {
  try {
    const refresh_report report = co_await acreate_matview(given.name, query, options);
    add_report(into, report);
  } catch (const error& failed) {
    throw error(in_file(given, failed));
  }
}

view_kind kind_of(const std::string& word) {
  if (word == "incremental") return view_kind::incremental;
  return word == "auto" ? view_kind::automatic : view_kind::native;
}

exit_code create(const create_arguments& given, const context& with) {
  create_options options{.database = with.options.database,
                         .with_data = !given.no_data,
                         .if_not_exists = given.if_not_exists,
                         .comment = given.comment,
                         .statement_timeout = optional_interval(given.timeouts.statement_timeout),
                         .lock_timeout = optional_interval(given.timeouts.lock_timeout),
                         .log = with.screen.log(),
                         .kind = kind_of(given.kind)};
  for (const auto& columns : given.unique_indexes)
    options.indexes.push_back(index_of(columns, true));
  for (const auto& columns : given.indexes) options.indexes.push_back(index_of(columns, false));
  const std::string query = given.file.empty() ? given.sql : read_file(given.file, "one SELECT");
  const auto act = [&](const std::string&, table& into) {
    return create_one(given, query, options, into);
  };
  return for_each_name(with, {given.name},
                       {.doing = "creating", .untouched = "was not created", .act = act},
                       report_table());
}

}  // namespace

command add_create(CLI::App& app) {
  const auto given = std::make_shared<create_arguments>();  // Shared: the parser writes, run reads.
  CLI::App* parser = app.add_subcommand("create", "Create a materialized view from a query");
  parser->add_option("NAME", given->name, "The view: VIEW or SCHEMA.VIEW")
      ->required()
      ->type_name("");
  CLI::Option_group* query = parser->add_option_group("query", "Where the query comes from");
  query->add_option("--sql", given->sql, "The query itself")->type_name("SQL");
  query->add_option("--file", given->file, "A file that holds it, or - for standard input")
      ->type_name("PATH")
      ->check(not_empty());
  query->require_option(1);
  parser->add_flag("--no-data", given->no_data, "Do not run the query yet");
  parser->add_flag("--if-not-exists", given->if_not_exists,
                   "Leave a view of this name, native or incremental, as it is");
  parser->add_option("--index", given->indexes, "Columns of an index, such as \"day, airport\"")
      ->type_name("COLUMNS")
      ->check(columns())
      ->allow_extra_args(false);
  parser
      ->add_option("--unique-index", given->unique_indexes,
                   "Columns of a unique index; refresh --concurrently needs one")
      ->type_name("COLUMNS")
      ->check(columns())
      ->allow_extra_args(false);
  parser
      ->add_option("--kind", given->kind,
                   "native, incremental (see explain), or auto: incremental if it can be")
      ->type_name("KIND")
      ->check(one_of({"native", "incremental", "auto"}))
      ->capture_default_str();
  parser->add_option("--comment", given->comment, "The view's COMMENT")->type_name("TEXT");
  add_timeouts(*parser, given->timeouts);
  return {parser, [given](const context& with) { return create(*given, with); }};
}

}  // namespace matview::cli
