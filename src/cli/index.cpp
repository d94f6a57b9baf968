#include "cli/command.hpp"
#include "cli/index_columns.hpp"
#include "cli/run.hpp"
#include <matview/incremental.hpp>

#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>

namespace matview::cli {

namespace {

struct index_arguments {
  std::string name;
  std::string columns;
  bool unique = false;
};

exit_code add(const index_arguments& given, const context& with) {
  run_interruptibly(with.screen, "indexing",
                    aadd_index(given.name, index_of(given.columns, given.unique),
                               std::string(with.options.database)));
  with.screen.note(fmt::format("{} has an index on ({})", given.name, given.columns));
  return exit_code::done;
}

}  // namespace

command add_index_commands(CLI::App& app) {
  const auto given = std::make_shared<index_arguments>();  // Shared: the parser writes, run reads.
  CLI::App* group = app.add_subcommand("index", "Indexes of views, native and incremental");
  CLI::App* parser = group->add_subcommand("add", "Add an index to a view");
  parser->add_option("NAME", given->name, "The view: VIEW or SCHEMA.VIEW")
      ->required()
      ->type_name("");
  parser->add_option("--columns", given->columns, "Its columns, such as \"day, airport\"")
      ->required()
      ->type_name("COLUMNS")
      ->check(columns());
  parser->add_flag("--unique", given->unique, "No two rows agree in them");
  std::vector<command> members;
  members.push_back({parser, [given](const context& with) { return add(*given, with); }});
  return command_group(group, std::move(members));
}

}  // namespace matview::cli
