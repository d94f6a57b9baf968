#include "cli/command.hpp"
#include "cli/refresh_many.hpp"
#include "cli/report_table.hpp"
#include "cli/run.hpp"
#include <matview/incremental.hpp>
#include <matview/views.hpp>

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace matview::cli {

namespace {

asio::awaitable<void> refresh_one(const std::string& name, const refresh_options& options,
                                  table& into) {
  const refresh_report report = co_await arefresh_matview(name, options);
  add_report(into, report);
}

std::optional<refresh_mode> mode_of(const refresh_arguments& given) {
  if (given.mode == "auto") return refresh_mode::automatic;
  if (given.mode == "full") return refresh_mode::full;
  if (given.mode == "incremental") return refresh_mode::incremental;
  if (given.mode == "diff") return refresh_mode::diff;
  if (given.mode == "swap") return refresh_mode::swap;
  if (given.mode == "concurrently") return refresh_mode::concurrently;
  return std::nullopt;
}

if_running running_of(const refresh_arguments& given) {
  if (given.if_running == "join") return if_running::join;
  if (given.if_running == "skip") return if_running::skip;
  return given.if_running == "fail" ? if_running::fail : if_running::wait;
}

refresh_options options_of(const refresh_arguments& given, const context& with) {
  return {.database = with.options.database,
          .concurrently = given.concurrently,
          .statement_timeout = optional_interval(given.timeouts.statement_timeout),
          .lock_timeout = optional_interval(given.timeouts.lock_timeout),
          .log = with.screen.log(),
          .mode = mode_of(given),
          .if_running = running_of(given),
          .if_changed = given.if_changed,
          .at_least_every = optional_interval(given.at_least_every),
          .max_age = optional_interval(given.max_age),
          .max_duration = optional_interval(given.max_duration),
          .care = given.no_care ? std::nullopt : std::optional(care_options()),
          .make_history = !given.no_history,
          .asked_by = refresh_origin::hand};
}

exit_code cancel_named(const refresh_arguments& given, const context& with) {
  if (needs_graph(given) || given.which.names.empty()) {
    throw error(errc::invalid_option, "--cancel stops the refreshes of the views that are named",
                {.hint = "matview refresh --cancel sales.daily"});
  }
  table stopped({{"VIEW"}, {"STOPPED", true}});
  for (const std::string& name : given.which.names) {
    const int sessions = cancel_refresh(name, with.options.database);
    const std::string count = fmt::format("{}", sessions);
    stopped.add({name, count}, {{"view", name}, {"stopped", sessions}}, {name, count});
  }
  write_result(stopped.text(with.options.format));
  return exit_code::done;
}

exit_code refresh_named(const refresh_arguments& given, const context& with) {
  const refresh_options options = options_of(given, with);
  const auto act = [&](const std::string& name, table& into) {
    return refresh_one(name, options, into);
  };
  return for_each_name(with, given.which.names, {.doing = "refreshing", .act = act},
                       report_table());
}

asio::awaitable<void> together_into(const std::vector<std::string>& names,
                                    const refresh_options& options, table& into) {
  const std::vector<refresh_report> reports = co_await arefresh_together(names, options);
  for (const refresh_report& report : reports) add_report(into, report);
}

// All of them change at one moment, on one snapshot.
exit_code refresh_atomically(const refresh_arguments& given, const context& with) {
  if (given.which.all == !given.which.names.empty() || !given.which.schemas.empty() ||
      given.which.with_upstream || given.which.with_downstream || given.dry_run) {
    throw error(errc::invalid_option,
                "--atomic refreshes the incremental views that are named, or all of them",
                {.hint = "matview refresh --all --atomic"});
  }
  table done = report_table();
  run_interruptibly(with.screen, "refreshing together",
                    together_into(given.which.names, options_of(given, with), done));
  write_result(done.text(with.options.format), work_is_done);
  return exit_code::done;
}

exit_code refresh(const refresh_arguments& given, const context& with) {
  if (given.atomic) return refresh_atomically(given, with);
  if (given.cancel) return cancel_named(given, with);
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

void add_length(CLI::App& parser, const char* name, std::string& into, const char* what) {
  parser.add_option(name, into, what)->type_name("INTERVAL")->check(not_empty());
}

// How each view is refreshed.
void add_manner(CLI::App& parser, refresh_arguments& into) {
  CLI::Option* concurrently =
      parser.add_flag("--concurrently", into.concurrently,
                      "Let readers go on reading; the view needs a unique index");
  parser
      .add_option("--mode", into.mode,
                  "auto, full, concurrently; of incremental views also incremental, diff, swap")
      ->type_name("MODE")
      ->check(one_of({"auto", "full", "concurrently", "incremental", "diff", "swap"}))
      ->excludes(concurrently);
  CLI::Option* if_changed =
      parser.add_flag("--if-changed", into.if_changed,
                      "Leave out a view none of whose tables has changed, by the "
                      "server's counters");
  parser
      .add_option("--at-least-every", into.at_least_every,
                  "With --if-changed: refresh all the same when its data is older")
      ->type_name("INTERVAL")
      ->check(not_empty())
      ->needs(if_changed);
  add_length(parser, "--max-age", into.max_age, "Leave out a view whose data is not older");
  parser
      .add_option("--if-running", into.if_running,
                  "When another refresh of the view runs: wait (default), join, skip or fail")
      ->type_name("WORD")
      ->check(one_of({"wait", "join", "skip", "fail"}));
  add_length(parser, "--max-duration", into.max_duration,
             "Longest time for a view, waiting and trying again included");
  parser.add_flag("--no-care", into.no_care, "No ANALYZE or VACUUM of native views afterwards");
  parser.add_flag("--no-history", into.no_history,
                  "Do not make the schema matview for the history where it is missing");
  parser.add_flag("--atomic", into.atomic,
                  "Incremental views, named or --all: in one transaction, on one snapshot");
  parser.add_flag("--cancel", into.cancel, "Stop the refreshes of these views that run, wherever");
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
  add_manner(*parser, *given);
  add_timeouts(*parser, given->timeouts);
  return {parser, [given](const context& with) { return refresh(*given, with); }};
}

}  // namespace matview::cli
