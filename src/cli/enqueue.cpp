#include "cli/command.hpp"
#include "cli/input_file.hpp"
#include "cli/job_options.hpp"
#include "cli/run.hpp"
#include "tasks/refresh_check.hpp"
#include <matview/tasks.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace matview::cli {

namespace {

// Of all commands behind `enqueue`: the parser writes, run reads.
struct enqueue_arguments {
  refresh_settings refresh;
  std::string sql;
  std::string sql_file;
  std::string task;
  task_arguments args;
  job_settings job;
  std::string delay;
  std::string dedupe;
};

tasks::job_options options_of(const enqueue_arguments& given, const context& with) {
  return {.queue = given.job.queue,
          .priority = given.job.priority,
          .max_attempts = given.job.max_attempts,
          .delay = optional_interval(given.delay),
          .timeout = optional_interval(given.job.timeout),
          .dedupe = given.dedupe,
          .database = with.options.database};
}

asio::awaitable<void> put(std::string task, std::string args, tasks::job_options options,
                          std::int64_t& id) {
  if (task == "refresh") co_await tasks::acheck_refresh(options.database, args);
  id = co_await tasks::aenqueue(task, args, options);
}

exit_code put_and_tell(const enqueue_arguments& given, const context& with, std::string task,
                       std::string args) {
  std::int64_t id = 0;
  run_interruptibly(with.screen, "enqueueing",
                    put(std::move(task), std::move(args), options_of(given, with), id));
  write_job_id(with, id);
  note_idle_queue(with, given.job.queue);
  return exit_code::done;
}

exit_code enqueue_refresh(const enqueue_arguments& given, const context& with) {
  return put_and_tell(given, with, "refresh", refresh_arguments(given.refresh));
}

exit_code enqueue_sql(const enqueue_arguments& given, const context& with) {
  return put_and_tell(given, with, "sql", sql_arguments(read_statement(given.sql, given.sql_file)));
}

exit_code enqueue_task(const enqueue_arguments& given, const context& with) {
  return put_and_tell(given, with, given.task, read_arguments(given.args));
}

void add_settings(CLI::App& parser, enqueue_arguments& into) {
  add_job_settings(parser, into.job);
  parser
      .add_option("--delay", into.delay,
                  "How long it has to wait, such as \"10 minutes\" (default: not at all)")
      ->type_name("INTERVAL")
      ->check(not_empty());
  parser
      .add_option("--dedupe", into.dedupe,
                  "While a job of this key waits, no second one is put beside it; and no two of a "
                  "key run at the same time")
      ->type_name("KEY")
      ->check(not_empty());
}

void add_refresh_arguments(CLI::App& parser, enqueue_arguments& into) {
  parser.add_option("VIEW", into.refresh.view, "The view: VIEW or SCHEMA.VIEW")
      ->required()
      ->type_name("");
  add_refresh_settings(parser, into.refresh);
}

void add_sql_arguments(CLI::App& parser, enqueue_arguments& into) {
  CLI::Option_group* statement = parser.add_option_group("statement", "What is run");
  statement->add_option("SQL", into.sql, "One statement")->type_name("")->check(not_empty());
  statement->add_option("--file", into.sql_file, "A file that holds it, or - for standard input")
      ->type_name("PATH")
      ->check(not_empty());
  statement->require_option(1);
}

}  // namespace

command add_enqueue(CLI::App& app) {
  const auto given =
      std::make_shared<enqueue_arguments>();  // Shared: the parser writes, run reads.
  CLI::App* parser = app.add_subcommand("enqueue", "Put a job into a queue and print its ID");
  add_settings(*parser, *given);
  using runner = exit_code (*)(const enqueue_arguments&, const context&);
  const auto member = [&](CLI::App* sub, runner run) {
    return command{sub, [given, run](const context& with) { return run(*given, with); }};
  };
  CLI::App* refresh = parser->add_subcommand("refresh", "Compute the contents of a view anew");
  add_refresh_arguments(*refresh, *given);
  CLI::App* sql = parser->add_subcommand("sql", "Run one SQL statement in a transaction");
  add_sql_arguments(*sql, *given);
  CLI::App* task = parser->add_subcommand("task", "Run a task that a worker of your own knows");
  task->add_option("NAME", given->task, "The task")->required()->type_name("");
  add_task_arguments(*task, given->args);
  return command_group(parser, {member(refresh, enqueue_refresh), member(sql, enqueue_sql),
                                member(task, enqueue_task)});
}

}  // namespace matview::cli
