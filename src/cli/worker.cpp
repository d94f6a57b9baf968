#include "cli/command.hpp"
#include "pg/database.hpp"
#include "tasks/events.hpp"
#include "tasks/run_workers.hpp"
#include "tasks/task_set.hpp"
#include <matview/error.hpp>

#include <CLI/Validators.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace matview::cli {

namespace {

struct worker_arguments {
  std::vector<std::string> queues;
  std::vector<std::string> databases;
  bool all_databases = false;
  std::size_t concurrency = 10;
  std::string grace = "30 seconds";
  std::string stop_after_idle;
  bool once = false;
  std::string log = "text";
};

std::vector<std::string> databases_of(const worker_arguments& given, const context& with) {
  if (given.all_databases) return pg::configured_aliases();
  if (!given.databases.empty()) return given.databases;
  return {with.options.database};
}

tasks::worker_options options_of(const worker_arguments& given, const context& with) {
  const bool json = given.log == "json";
  return {.databases = databases_of(given, with),
          .queues = given.queues,
          .concurrency = given.concurrency,
          .grace = interval::parse(given.grace),
          .stop_after_idle = optional_interval(given.stop_after_idle),
          .once = given.once,
          .log_json = json,
          .log = json ? with.screen.bare_log() : with.screen.log()};
}

// Not under run_interruptibly(): the workers wait for the signals themselves, and the first one
// lets their jobs end.
exit_code work(const worker_arguments& given, const context& with) {
  const tasks::worker_options options = options_of(given, with);
  try {
    tasks::run_workers(tasks::task_set(), options);
  } catch (const error& failed) {
    if (!options.log_json) throw;
    // Whoever reads the log reads no other lines.
    const tasks::event_log log(options.log, true);
    log(log_level::warning, "worker failed",
        {{"code", to_string(failed.code())}, {"error", failed.what()}, {"hint", failed.hint()}});
    return exit_code_of(failed.code());
  }
  return exit_code::done;
}

// `a,b`, given once or several times.
CLI::Option* add_names(CLI::App& parser, const std::string& name, std::vector<std::string>& into,
                       const std::string& text) {
  return parser.add_option(name, into, text)
      ->type_name("NAME,NAME")
      ->delimiter(',')
      ->check(not_empty())
      ->allow_extra_args(false);
}

void add_scope(CLI::App& parser, worker_arguments& into) {
  add_names(parser, "--queues", into.queues, "Only jobs of these queues (default: all)");
  CLI::Option* some = add_names(parser, "--databases", into.databases,
                                "The databases to work on, by their aliases (default: --database)");
  parser
      .add_flag("--all-databases", into.all_databases, "Work on all databases of the configuration")
      ->excludes(some);
  parser
      .add_option("--concurrency", into.concurrency, "How many jobs run at once in each database")
      ->type_name("N")
      ->check(CLI::Range(1, 1000).description(""))
      ->capture_default_str();
}

void add_end(CLI::App& parser, worker_arguments& into) {
  parser.add_flag("--once", into.once, "Run what is due now, and end");
  parser
      .add_option("--stop-after-idle", into.stop_after_idle,
                  "End when there has been nothing to do for so long")
      ->type_name("INTERVAL")
      ->check(not_empty());
  parser
      .add_option("--grace", into.grace,
                  "How long jobs may go on after SIGTERM or Ctrl-C; what has not ended then, or at "
                  "a second one, is cancelled and given back")
      ->type_name("INTERVAL")
      ->check(not_empty())
      ->capture_default_str();
}

}  // namespace

command add_worker(CLI::App& app) {
  const auto given = std::make_shared<worker_arguments>();  // Shared: the parser writes, run reads.
  CLI::App* parser =
      app.add_subcommand("worker", "Run jobs and fire schedules until it is stopped");
  add_scope(*parser, *given);
  add_end(*parser, *given);
  parser->add_option("--log", given->log, "How log lines are written to stderr")
      ->type_name("text|json")
      ->check(one_of({"text", "json"}))
      ->capture_default_str();
  return {parser, [given](const context& with) { return work(*given, with); }};
}

}  // namespace matview::cli
