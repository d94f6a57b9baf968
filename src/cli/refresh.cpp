#include "cli/command.hpp"
#include "cli/refresh_many.hpp"
#include "cli/report_table.hpp"
#include <matview/views.hpp>

#include <memory>
#include <string>
#include <vector>

namespace matview::cli {

namespace {

asio::awaitable<void> refresh_one(const std::string& name, const refresh_options& options,
                                  table& into) {
  const refresh_report report = co_await arefresh_matview(name, options);
  add_report(into, report);
}

refresh_options options_of(const refresh_arguments& given, const context& with) {
  return {.database = with.options.database,
          .concurrently = given.concurrently,
          .statement_timeout = optional_interval(given.timeouts.statement_timeout),
          .lock_timeout = optional_interval(given.timeouts.lock_timeout),
          .log = with.screen.log()};
}

exit_code refresh_named(const refresh_arguments& given, const context& with) {
  const refresh_options options = options_of(given, with);
  const auto act = [&](const std::string& name, table& into) {
    return refresh_one(name, options, into);
  };
  return for_each_name(with, given.which.names, {.doing = "refreshing", .act = act},
                       report_table());
}

exit_code refresh(const refresh_arguments& given, const context& with) {
  check_selection(given);
  if (!needs_graph(given)) return refresh_named(given, with);
  return refresh_in_order(given, options_of(given, with), with);
}

void add_selection(CLI::App& parser, refresh_arguments& into) {
  parser.add_option("NAME", into.which.names, "The views, in this order: VIEW or SCHEMA.VIEW")
      ->type_name("");
  parser.add_flag("--all", into.which.all, "All views of the database, what is upstream first");
  parser
      .add_option("--schema", into.which.schemas,
                  "All views of this schema, what is upstream first; may be repeated")
      ->type_name("NAME")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->check(not_empty());
  parser.add_flag("--with-upstream", into.which.with_upstream,
                  "Before these views all views that they are made from");
  parser.add_flag("--with-downstream", into.which.with_downstream,
                  "After these views all views that are made from them");
}

}  // namespace

command add_refresh(CLI::App& app) {
  const auto given =
      std::make_shared<refresh_arguments>();  // Shared: the parser writes, run reads.
  CLI::App* parser = app.add_subcommand("refresh", "Compute the contents of views anew");
  add_selection(*parser, *given);
  parser
      ->add_option("--jobs", given->jobs,
                   "How many views at once (default: 2); what is upstream comes first")
      ->type_name("N");
  parser->add_flag("--dry-run", given->dry_run,
                   "Show the order and the time that is expected; refresh nothing");
  parser->add_flag("--concurrently", given->concurrently,
                   "Let readers go on reading; the view needs a unique index");
  add_timeouts(*parser, given->timeouts);
  return {parser, [given](const context& with) { return refresh(*given, with); }};
}

}  // namespace matview::cli
