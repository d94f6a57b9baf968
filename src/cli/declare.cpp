#include "cli/command.hpp"
#include "cli/output.hpp"
#include "cli/run.hpp"
#include <matview/graph.hpp>

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

struct declare_arguments {
  std::string view;
  std::vector<std::string> others;
  bool remove = false;
};

asio::awaitable<void> declare_into(const declare_arguments& given, const declare_options& options,
                                   std::size_t& changed) {
  changed = co_await adeclare_dependencies(given.view, given.others, options);
}

exit_code declare(const declare_arguments& given, const context& with) {
  const declare_options options{
      .database = with.options.database, .remove = given.remove, .log = with.screen.log()};
  std::size_t changed = 0;
  run_interruptibly(with.screen, "declaring", declare_into(given, options, changed));
  if (with.options.format == output_format::json) {
    const json::object told{{"view", given.view},
                            {"depends_on", json::array(given.others.begin(), given.others.end())},
                            {"removed", given.remove},
                            {"changed", changed}};
    write_result(json::serialize(told) + '\n', work_is_done);
    return exit_code::done;
  }
  with.screen.note(fmt::format("{} {} {}{}", given.view,
                               given.remove ? "is not declared to depend on" : "depends on",
                               fmt::join(given.others, ", "), changed == 0 ? " (unchanged)" : ""));
  return exit_code::done;
}

}  // namespace

command add_declare(CLI::App& app) {
  const auto given =
      std::make_shared<declare_arguments>();  // Shared: the parser writes, run reads.
  CLI::App* parser = app.add_subcommand(
      "declare", "Say what a view depends on where PostgreSQL does not know, as in PL/pgSQL");
  parser->add_option("VIEW", given->view, "The materialized view: VIEW or SCHEMA.VIEW")
      ->required()
      ->type_name("");
  parser->add_option("--depends-on", given->others, "Views or tables that it is made from")
      ->required()
      ->type_name("OTHER...");
  parser->add_flag("--remove", given->remove, "Take these declarations back");
  return {parser, [given](const context& with) { return declare(*given, with); }};
}

}  // namespace matview::cli
