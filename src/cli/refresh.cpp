#include "cli/command.hpp"
#include "cli/report_table.hpp"
#include <matview/views.hpp>

#include <memory>
#include <string>
#include <vector>

namespace matview::cli {

namespace {

struct refresh_arguments {
  std::vector<std::string> names;
  bool concurrently = false;
  timeout_options timeouts;
};

asio::awaitable<void> refresh_one(const std::string& name, const refresh_options& options,
                                  table& into) {
  const refresh_report report = co_await arefresh_matview(name, options);
  add_report(into, report);
}

exit_code refresh(const refresh_arguments& given, const context& with) {
  const refresh_options options{
      .database = with.options.database,
      .concurrently = given.concurrently,
      .statement_timeout = optional_interval(given.timeouts.statement_timeout),
      .lock_timeout = optional_interval(given.timeouts.lock_timeout),
      .log = with.screen.log()};
  const auto act = [&](const std::string& name, table& into) {
    return refresh_one(name, options, into);
  };
  return for_each_name(with, given.names, {.doing = "refreshing", .act = act}, report_table());
}

}  // namespace

command add_refresh(CLI::App& app) {
  const auto given =
      std::make_shared<refresh_arguments>();  // Shared: the parser writes, run reads.
  CLI::App* parser = app.add_subcommand("refresh", "Compute the contents of views anew");
  parser->add_option("NAME", given->names, "The views, in this order: VIEW or SCHEMA.VIEW")
      ->required()
      ->type_name("");
  parser->add_flag("--concurrently", given->concurrently,
                   "Let readers go on reading; the view needs a unique index");
  add_timeouts(*parser, given->timeouts);
  return {parser, [given](const context& with) { return refresh(*given, with); }};
}

}  // namespace matview::cli
