#include "cli/command.hpp"
#include "cli/job_options.hpp"
#include "cli/output.hpp"
#include <matview/jobs.hpp>

#include <CLI/Validators.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace matview::cli {

namespace {

namespace json = boost::json;

using tasks::job_info;
using time_point = std::chrono::system_clock::time_point;

// Of all commands behind `jobs`: the parser writes, run reads.
struct jobs_arguments {
  tasks::job_filter which;
  std::optional<std::int64_t> id;
  bool all = false;
  std::string older_than;
  std::string queue;  // To be paused or resumed.
};

std::optional<std::chrono::microseconds> run_time(const job_info& job) {
  if (!job.started_at || !job.finished_at || *job.finished_at < *job.started_at) return {};
  return std::chrono::duration_cast<std::chrono::microseconds>(*job.finished_at - *job.started_at);
}

json::object values_of(const job_info& job) {
  json::object out{{"id", job.id},
                   {"state", job.state},
                   {"queue", job.queue},
                   {"task", job.task},
                   {"args", json::parse(job.args)},
                   {"priority", job.priority},
                   {"attempt", job.attempt},
                   {"max_attempts", job.max_attempts},
                   {"rescues", job.rescues},
                   {"schedule", text_value(job.schedule)},
                   {"tick", time_value(job.tick)},
                   {"worker", job.worker ? json::value(*job.worker) : json::value()},
                   {"created_at", time_value(job.created_at)},
                   {"run_at", time_value(job.run_at)},
                   {"started_at", time_value(job.started_at)},
                   {"finished_at", time_value(job.finished_at)},
                   {"last_error", text_value(job.last_error)},
                   {"errors", json::parse(job.errors)}};
  if (const auto took = run_time(job)) out["run_seconds"] = seconds(*took);
  return out;
}

void add_job(table& to, const job_info& job) {
  const std::string id = fmt::format("{}", job.id);
  const std::string attempt = fmt::format("{}/{}", job.attempt, job.max_attempts);
  const auto took = run_time(job);
  to.add({id, job.state, job.queue, shown_task(job.task, job.args), attempt, shown_time(job.run_at),
          took ? pretty_duration(*took) : "", job.last_error},
         values_of(job),
         {id, job.state, job.queue, job.task, job.args, attempt, rfc3339(job.run_at),
          took ? fmt::format("{:.6f}", seconds(*took)) : "", job.last_error});
}

exit_code list(const jobs_arguments& given, const context& with) {
  const std::vector<job_info> found = tasks::list_jobs(given.which, with.options.database);
  table result({{"ID", true},
                {"STATE"},
                {"QUEUE"},
                {"TASK"},
                {"ATTEMPT"},
                {"DUE"},
                {"TIME", true},
                {"LAST ERROR"}});
  for (const job_info& job : found) add_job(result, job);
  write_result(result.text(with.options.format));
  if (found.empty()) with.screen.note("no jobs");
  if (found.size() == given.which.most) {
    with.screen.note(fmt::format("the newest {}; --limit shows more", found.size()));
  }
  return exit_code::done;
}

void add_errors(record& to, const std::string& errors) {
  const json::value parsed = json::parse(errors);
  for (const json::value& one : parsed.as_array()) {
    const json::object& failed = one.as_object();
    to.add("error",
           fmt::format("{} attempt {}: {}", failed.at("at").as_string().c_str(),
                       failed.at("attempt").as_int64(), failed.at("error").as_string().c_str()));
  }
}

record described(const job_info& job) {
  record out;
  out.add("id", fmt::format("{}", job.id));
  out.add("state", job.state);
  out.add("task", job.task);
  out.add("arguments", job.args);
  out.add("queue", job.queue);
  out.add("priority", fmt::format("{}", job.priority));
  out.add("attempts", fmt::format("{} of {}", job.attempt, job.max_attempts));
  out.add("rescues", fmt::format("{}", job.rescues));
  if (!job.schedule.empty()) out.add("schedule", job.schedule);
  if (job.tick) out.add("tick", shown_time(job.tick));
  if (job.worker) out.add("worker", fmt::format("{}", *job.worker));
  out.add("created", rfc3339(job.created_at));
  out.add("due", rfc3339(job.run_at));
  if (job.started_at) out.add("started", rfc3339(*job.started_at));
  if (job.finished_at) out.add("finished", rfc3339(*job.finished_at));
  if (const auto took = run_time(job)) out.add("time", pretty_duration(*took));
  if (!job.last_error.empty()) out.add("last error", job.last_error);
  add_errors(out, job.errors);
  return out;
}

// The options that choose among many jobs would have no effect here.
void refuse_filter(const jobs_arguments& given, std::string_view instead) {
  const tasks::job_filter& which = given.which;
  if (which.state.empty() && which.queue.empty() && which.schedule.empty()) return;
  throw error(errc::invalid_option,
              fmt::format("--state, --queue and --schedule choose among many jobs, and this "
                          "command takes {}",
                          instead),
              {.hint = "leave them out"});
}

exit_code show(const jobs_arguments& given, const context& with) {
  refuse_filter(given, "one by its ID");
  const job_info job = tasks::find_job(*given.id, with.options.database);
  write_result(described(job).text(with.options.format, values_of(job)));
  return exit_code::done;
}

exit_code write_change(const context& with, const std::string& what, const std::string& change,
                       const json::object& values) {
  record result;
  result.add(what, change);
  write_result(result.text(with.options.format, values), work_is_done);
  return exit_code::done;
}

exit_code retry_all(const jobs_arguments& given, const context& with) {
  const tasks::job_filter& which = given.which;
  if (!which.state.empty() && which.state != "dead") {
    throw error(errc::invalid_option, "--all puts back dead jobs, and no others",
                {.hint = "leave --state out"});
  }
  const std::int64_t count = tasks::retry_dead_jobs(which, with.options.database);
  return write_change(with, fmt::format("{}", count), "put back", {{"retried", count}});
}

exit_code retry(const jobs_arguments& given, const context& with) {
  if (given.all) return retry_all(given, with);
  refuse_filter(given, "one by its ID");
  tasks::retry_job(*given.id, with.options.database);
  return write_change(with, fmt::format("{}", *given.id), "put back",
                      {{"id", *given.id}, {"retried", true}});
}

exit_code cancel(const jobs_arguments& given, const context& with) {
  refuse_filter(given, "one by its ID");
  const bool cancelled = tasks::cancel_job(*given.id, with.options.database);
  return write_change(with, fmt::format("{}", *given.id), cancelled ? "cancelled" : "asked to stop",
                      {{"id", *given.id}, {"cancelled", cancelled}});
}

exit_code purge(const jobs_arguments& given, const context& with) {
  const interval age = interval::parse(given.older_than);
  const std::int64_t count = tasks::purge_jobs(age, given.which, with.options.database);
  return write_change(with, fmt::format("{}", count), "purged", {{"purged", count}});
}

exit_code pause(const jobs_arguments& given, const context& with) {
  refuse_filter(given, "a queue by its name");
  tasks::pause_queue(given.queue, with.options.database);
  return write_change(with, given.queue, "paused", {{"queue", given.queue}, {"paused", true}});
}

exit_code resume(const jobs_arguments& given, const context& with) {
  refuse_filter(given, "a queue by its name");
  tasks::resume_queue(given.queue, with.options.database);
  return write_change(with, given.queue, "resumed", {{"queue", given.queue}, {"paused", false}});
}

void add_filter(CLI::App& parser, tasks::job_filter& into) {
  parser.add_option("--state", into.state, "Only jobs in this state")
      ->type_name("ready|running|done|dead|cancelled")
      ->check(one_of({"ready", "running", "done", "dead", "cancelled"}));
  parser.add_option("--queue", into.queue, "Only jobs of this queue")
      ->type_name("NAME")
      ->check(not_empty());
  parser.add_option("--schedule", into.schedule, "Only jobs of this schedule")
      ->type_name("NAME")
      ->check(not_empty());
  parser.add_option("--limit", into.most, "How many are listed at most")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000).description(""))
      ->capture_default_str();
}

CLI::Option* add_id(CLI::App& parser, jobs_arguments& into) {
  return parser.add_option("ID", into.id, "The job")->type_name("");
}

void add_retry_arguments(CLI::App& parser, jobs_arguments& into) {
  CLI::Option_group* which = parser.add_option_group("which", "Which jobs");
  add_id(*which, into);
  which->add_flag("--all", into.all, "All dead ones, or those of --queue or --schedule");
  which->require_option(1);
}

void add_purge_arguments(CLI::App& parser, jobs_arguments& into) {
  parser.add_option("--older-than", into.older_than, "That ended longer ago, such as \"7 days\"")
      ->required()
      ->type_name("INTERVAL")
      ->check(not_empty());
}

void add_queue(CLI::App& parser, jobs_arguments& into) {
  parser.add_option("QUEUE", into.queue, "The queue")
      ->required()
      ->type_name("")
      ->check(not_empty());
}

}  // namespace

command add_jobs(CLI::App& app) {
  const auto given = std::make_shared<jobs_arguments>();  // Shared: the parser writes, run reads.
  CLI::App* parser = app.add_subcommand("jobs", "Look at jobs and put a hand in");
  add_filter(*parser, given->which);
  using runner = exit_code (*)(const jobs_arguments&, const context&);
  const auto member = [&](const std::string& name, const std::string& text, runner run) {
    return command{parser->add_subcommand(name, text),
                   [given, run](const context& with) { return run(*given, with); }};
  };
  std::vector<command> members{
      member("list", "List jobs, the newest first", list),
      member("show", "Show all of a job with its errors", show),
      member("retry", "Put dead or cancelled jobs back with all their attempts", retry),
      member("cancel", "Cancel a job; one that runs is cancelled in the server", cancel),
      member("purge", "Delete jobs that have ended, dead ones included", purge),
      member("pause", "Let workers fetch no more jobs of a queue until it is resumed", pause),
      member("resume", "Let workers fetch jobs of a queue again", resume)};
  add_id(*parser->get_subcommand("show"), *given)->required();
  add_retry_arguments(*parser->get_subcommand("retry"), *given);
  add_id(*parser->get_subcommand("cancel"), *given)->required();
  add_purge_arguments(*parser->get_subcommand("purge"), *given);
  for (const char* name : {"pause", "resume"}) add_queue(*parser->get_subcommand(name), *given);
  return command_group(parser, std::move(members));
}

}  // namespace matview::cli
