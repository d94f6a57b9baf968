#include "cli/command.hpp"
#include "cli/output.hpp"
#include "cli/report_table.hpp"
#include <matview/incremental.hpp>

#include <fmt/format.h>

#include <memory>
#include <string>

namespace matview::cli {

namespace {

struct convert_arguments {
  std::string name;
  std::string to;
  bool accept_losses = false;
  timeout_options timeouts;
};

asio::awaitable<void> convert_one(const std::string& name, const convert_options& options,
                                  const terminal& screen, table& into) {
  const convert_report done = co_await aconvert_matview(name, options);
  for (const std::string& kept : done.kept) screen.note("kept: " + kept);
  for (const std::string& lost : done.not_kept) screen.note("not kept: " + lost);
  add_report(into, done.made);
}

exit_code convert(const convert_arguments& given, const context& with) {
  const convert_options options{
      .database = with.options.database,
      .to = given.to == "native" ? view_kind::native : view_kind::incremental,
      .accept_losses = given.accept_losses,
      .statement_timeout = optional_interval(given.timeouts.statement_timeout),
      .lock_timeout = optional_interval(given.timeouts.lock_timeout),
      .log = with.screen.log()};
  const auto act = [&](const std::string& name, table& into) {
    return convert_one(name, options, with.screen, into);
  };
  return for_each_name(with, {given.name},
                       {.doing = "converting", .untouched = "was not converted", .act = act},
                       report_table());
}

}  // namespace

command add_convert(CLI::App& app) {
  const auto given =
      std::make_shared<convert_arguments>();  // Shared: the parser writes, run reads.
  CLI::App* parser =
      app.add_subcommand("convert", "Make a native view incremental, or the other way round");
  parser->add_option("NAME", given->name, "The view: VIEW or SCHEMA.VIEW")
      ->required()
      ->type_name("");
  parser->add_option("--to", given->to, "incremental or native")
      ->required()
      ->type_name("KIND")
      ->check(one_of({"incremental", "native"}));
  parser->add_flag("--accept-losses", given->accept_losses,
                   "Convert although something cannot be kept; without it that is only told");
  add_timeouts(*parser, given->timeouts);
  return {parser, [given](const context& with) { return convert(*given, with); }};
}

}  // namespace matview::cli
