#include "cli/command.hpp"
#include "cli/input_file.hpp"
#include "cli/job_options.hpp"
#include "cli/output.hpp"
#include "cli/run.hpp"
#include "tasks/policies.hpp"
#include "text/quote.hpp"
#include "text/rfc3339.hpp"
#include "text/time_zone.hpp"
#include <matview/cron.hpp>
#include <matview/schedules.hpp>

#include <CLI/Validators.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace matview::cli {

namespace {

namespace json = boost::json;

using tasks::missed_words;
using tasks::overlap_words;
using tasks::policy_of;
using tasks::schedule_definition;
using tasks::schedule_info;
using tasks::word_of;
using time_point = std::chrono::system_clock::time_point;

// What a schedule is, in words for people and for programs.

std::string meaning_of(const schedule_definition& schedule) {
  if (schedule.every) return "every " + schedule.every->text();
  return cron::parse(schedule.cron, schedule.time_zone).in_words();
}

std::string when_of(const schedule_definition& schedule) {
  if (schedule.every) return "every " + schedule.every->text();
  return schedule.cron + ' ' + schedule.time_zone;
}

std::string_view state_of(const schedule_info& schedule) {
  if (!schedule.paused_at) return "active";
  return schedule.paused_why.empty() ? "paused" : "suspended";
}

std::string shown_state(const schedule_info& schedule) {
  std::string out(state_of(schedule));
  if (!schedule.paused_why.empty()) out += ": " + schedule.paused_why;
  return out;
}

void add_seconds(json::object& to, std::string_view key, const std::optional<interval>& length) {
  if (length) to[key] = seconds(length->to_duration());
}

json::object values_of(const schedule_info& schedule) {
  const schedule_definition& what = schedule.definition;
  json::object out{{"name", what.name},
                   {"task", what.task},
                   {"args", json::parse(what.args)},
                   {"cron", text_value(what.cron)},
                   {"time_zone", what.every ? json::value() : json::value(what.time_zone)},
                   {"meaning", meaning_of(what)},
                   {"queue", what.queue},
                   {"priority", what.priority},
                   {"max_attempts", what.max_attempts},
                   {"missed", word_of(what.missed)},
                   {"overlap", word_of(what.overlap)},
                   {"max_failures", what.max_failures},
                   {"state", state_of(schedule)},
                   {"next_at", time_value(schedule.next_at)},
                   {"last_tick", time_value(schedule.last_tick)},
                   {"paused_at", time_value(schedule.paused_at)},
                   {"paused_why", text_value(schedule.paused_why)},
                   {"failures", schedule.failures}};
  add_seconds(out, "every_seconds", what.every);
  add_seconds(out, "timeout_seconds", what.timeout);
  add_seconds(out, "missed_window_seconds", what.missed_window);
  return out;
}

table schedule_table() {
  return table({{"NAME"}, {"TASK"}, {"WHEN"}, {"NEXT"}, {"LAST"}, {"STATE"}});
}

void add_schedule_row(table& to, const schedule_info& schedule) {
  const schedule_definition& what = schedule.definition;
  const std::vector<std::string> cells{what.name,
                                       shown_task(what.task, what.args),
                                       when_of(what),
                                       shown_time(schedule.next_at),
                                       shown_time(schedule.last_tick),
                                       shown_state(schedule)};
  to.add(cells, values_of(schedule),
         {what.name, what.task, when_of(what), shown_time(schedule.next_at),
          shown_time(schedule.last_tick), std::string(state_of(schedule)), what.args,
          schedule.paused_why});
}

// In UTC and, as `matview cron` does, by the clock of the schedule's zone.
json::array ticks_for_programs(const schedule_definition& schedule,
                               const std::vector<time_point>& ticks) {
  const text::time_zone zone = text::time_zone::load(schedule.time_zone);
  json::array out;
  for (const time_point tick : ticks) {
    const auto whole = std::chrono::floor<std::chrono::seconds>(tick);
    out.push_back(json::object{{"at", rfc3339(tick)},
                               {"local", text::to_rfc3339(whole, zone.at(whole).offset)}});
  }
  return out;
}

// set

struct set_arguments {
  std::string name;
  std::string cron;
  std::string zone = "UTC";
  std::string every;
  refresh_settings refresh;
  std::string sql;
  std::string sql_file;
  std::string task;
  task_arguments args;
  std::string missed = "once";
  std::string missed_window;
  std::string overlap = "coalesce";
  int max_failures = 10;
  job_settings job;
};

void choose_task(const set_arguments& given, schedule_definition& into) {
  if (!given.refresh.view.empty()) {
    into.task = "refresh";
    into.args = refresh_arguments(given.refresh);
  } else if (!given.task.empty()) {
    into.task = given.task;
    into.args = read_arguments(given.args);
  } else {
    into.task = "sql";
    into.args = sql_arguments(read_statement(given.sql, given.sql_file));
  }
}

schedule_definition definition_of(const set_arguments& given) {
  schedule_definition out{.name = given.name,
                          .task = {},
                          .cron = given.cron,
                          .time_zone = given.zone,
                          .every = optional_interval(given.every),
                          .queue = given.job.queue,
                          .priority = given.job.priority,
                          .max_attempts = given.job.max_attempts,
                          .timeout = optional_interval(given.job.timeout),
                          .missed = policy_of<tasks::missed>(missed_words, given.missed),
                          .missed_window = optional_interval(given.missed_window),
                          .overlap = policy_of<tasks::overlap>(overlap_words, given.overlap),
                          .max_failures = given.max_failures};
  choose_task(given, out);
  return out;
}

std::vector<std::string> warnings_of(const schedule_definition& schedule) {
  if (schedule.every) return {};
  return cron::parse(schedule.cron, schedule.time_zone).warnings();
}

asio::awaitable<void> set_into(schedule_definition schedule, std::string database, bool& changed) {
  changed = co_await tasks::aset_schedule(std::move(schedule), std::move(database));
}

void tell_what_was_set(const context& with, const schedule_info& schedule, bool changed,
                       const std::vector<std::string>& warnings) {
  const std::string& name = schedule.definition.name;
  with.screen.note(fmt::format("{}: {}{}", name, meaning_of(schedule.definition),
                               changed ? "" : " (unchanged)"));
  for (const std::string& warning : warnings) with.screen.note("warning: " + warning);
  if (schedule.next_at) {
    with.screen.note("next: " + shown_time(schedule.next_at));
  } else {
    with.screen.note(fmt::format("it is {}; matview schedule resume {} lets it go on",
                                 state_of(schedule), name));
  }
  note_idle_queue(with, schedule.definition.queue);
}

exit_code set(const set_arguments& given, const context& with) {
  const schedule_definition wanted = definition_of(given);
  const std::string& database = with.options.database;
  bool changed = false;
  run_interruptibly(with.screen, "setting " + given.name, set_into(wanted, database, changed));
  const schedule_info stands = tasks::find_schedule(given.name, database);
  const std::vector<std::string> warnings = warnings_of(stands.definition);
  tell_what_was_set(with, stands, changed, warnings);
  if (with.options.format == output_format::json) {
    json::object values = values_of(stands);
    values["changed"] = changed;
    values["warnings"] = json::array(warnings.begin(), warnings.end());
    write_result(json::serialize(values) + '\n', work_is_done);
    return exit_code::done;
  }
  table result = schedule_table();
  add_schedule_row(result, stands);
  write_result(result.text(with.options.format), work_is_done);
  return exit_code::done;
}

void add_times(CLI::App& parser, set_arguments& into) {
  CLI::Option_group* when = parser.add_option_group("when", "When it fires");
  CLI::Option* cron =
      when->add_option("--cron", into.cron,
                       "A cron expression, such as \"30 3 * * MON-FRI\"; see matview cron")
          ->type_name("EXPR")
          ->check(not_empty());
  when->add_option("--every", into.every, "A period of a second or more, such as \"5 minutes\"")
      ->type_name("INTERVAL")
      ->check(not_empty());
  when->require_option(1);
  parser
      .add_option("--tz", into.zone,
                  "The time zone of --cron, by its IANA name, such as Europe/Berlin")
      ->type_name("ZONE")
      ->capture_default_str()
      ->needs(cron);
}

void add_work(CLI::App& parser, set_arguments& into) {
  CLI::Option_group* work = parser.add_option_group("work", "What it runs");
  CLI::Option* refresh = work->add_option("--refresh", into.refresh.view, "Refreshes this view")
                             ->type_name("VIEW")
                             ->check(not_empty());
  work->add_option("--sql", into.sql, "Runs this SQL statement")
      ->type_name("SQL")
      ->check(not_empty());
  work->add_option("--file", into.sql_file,
                   "Runs the SQL statement in this file, or - for standard input")
      ->type_name("PATH")
      ->check(not_empty());
  CLI::Option* task =
      work->add_option("--task", into.task, "Runs a task that a worker of your own knows")
          ->type_name("TASK")
          ->check(not_empty());
  work->require_option(1);
  add_refresh_settings(parser, into.refresh, refresh);
  add_task_arguments(parser, into.args);
  for (const char* option : {"--args", "--args-file"}) parser.get_option(option)->needs(task);
}

void add_policies(CLI::App& parser, set_arguments& into) {
  parser
      .add_option("--missed", into.missed,
                  "What becomes of ticks while no worker ran: dropped, the newest made up for, or "
                  "each of them")
      ->type_name("skip|once|all")
      ->check(one_of({missed_words.begin(), missed_words.end()}))
      ->capture_default_str();
  parser
      .add_option("--missed-window", into.missed_window,
                  "How late a tick may be made up for (default: one period or an hour, the longer, "
                  "with once; no limit with all)")
      ->type_name("INTERVAL")
      ->check(not_empty());
  parser
      .add_option("--overlap", into.overlap,
                  "What becomes of a tick while the job of an earlier one has not ended: at most "
                  "one waits, it is dropped, or both run")
      ->type_name("coalesce|skip|allow")
      ->check(one_of({overlap_words.begin(), overlap_words.end()}))
      ->capture_default_str();
  parser
      .add_option("--max-failures", into.max_failures,
                  "Dead jobs in a row after which it is suspended")
      ->type_name("N")
      ->capture_default_str();
}

// The others, each of one schedule but for list.

struct name_arguments {
  std::string name;
  int count = 5;
  bool must_exist = false;
};

exit_code list(const context& with) {
  const std::vector<schedule_info> found = tasks::list_schedules(with.options.database);
  table result = schedule_table();
  for (const schedule_info& schedule : found) add_schedule_row(result, schedule);
  write_result(result.text(with.options.format));
  if (found.empty()) with.screen.note("no schedules");
  return exit_code::done;
}

std::string shown_skip(const tasks::skipped_ticks& skipped) {
  std::string when = shown_time(skipped.first);
  if (skipped.last != skipped.first) when += " to " + shown_time(skipped.last);
  return fmt::format("{} {}: {}", when, skipped.outcome, skipped.reason);
}

record described(const schedule_info& schedule, const std::vector<time_point>& ticks,
                 const std::vector<tasks::skipped_ticks>& skipped) {
  const schedule_definition& what = schedule.definition;
  record out;
  out.add("name", what.name);
  out.add("task", what.task);
  out.add("arguments", what.args);
  out.add("when", when_of(what));
  out.add("meaning", meaning_of(what));
  out.add("state", shown_state(schedule));
  for (const time_point tick : ticks) out.add("next", shown_time(tick));
  out.add("last", shown_time(schedule.last_tick));
  out.add("queue", what.queue);
  out.add("priority", fmt::format("{}", what.priority));
  out.add("max attempts", fmt::format("{}", what.max_attempts));
  out.add("timeout", what.timeout ? what.timeout->text() : "none");
  out.add("missed", std::string(word_of(what.missed)));
  out.add("missed window", what.missed_window ? what.missed_window->text() : "default");
  out.add("overlap", std::string(word_of(what.overlap)));
  out.add("failures",
          fmt::format("{} in a row, suspended at {}", schedule.failures, what.max_failures));
  for (const tasks::skipped_ticks& one : skipped) out.add("skipped", shown_skip(one));
  return out;
}

json::array skips_for_programs(const std::vector<tasks::skipped_ticks>& skipped) {
  json::array out;
  for (const tasks::skipped_ticks& one : skipped) {
    out.push_back(json::object{{"first", rfc3339(one.first)},
                               {"last", rfc3339(one.last)},
                               {"outcome", one.outcome},
                               {"reason", one.reason}});
  }
  return out;
}

exit_code show(const name_arguments& given, const context& with) {
  constexpr std::size_t ticks_shown = 5;
  constexpr std::size_t skips_shown = 10;
  const std::string& database = with.options.database;
  const schedule_info schedule = tasks::find_schedule(given.name, database);
  std::vector<time_point> ticks;
  if (!schedule.paused_at) ticks = tasks::next_ticks(given.name, ticks_shown, database);
  const auto skipped = tasks::list_skipped_ticks(given.name, skips_shown, database);
  json::object values = values_of(schedule);
  values["next"] = ticks_for_programs(schedule.definition, ticks);
  values["skipped"] = skips_for_programs(skipped);
  write_result(described(schedule, ticks, skipped).text(with.options.format, values));
  return exit_code::done;
}

exit_code next(const name_arguments& given, const context& with) {
  const std::string& database = with.options.database;
  const schedule_info schedule = tasks::find_schedule(given.name, database);
  const auto ticks = tasks::next_ticks(given.name, static_cast<std::size_t>(given.count), database);
  if (with.options.format == output_format::json) {
    write_result(json::serialize(ticks_for_programs(schedule.definition, ticks)) + '\n');
    return exit_code::done;
  }
  if (schedule.paused_at) {
    with.screen.note(fmt::format("{} is {}: it will not fire until it is resumed", given.name,
                                 state_of(schedule)));
  }
  std::string lines;
  for (const time_point tick : ticks) lines += short_rfc3339(tick) + '\n';
  write_result(lines);
  return exit_code::done;
}

exit_code write_change(const context& with, const std::string& name, std::string_view key,
                       std::string_view change, bool done = true) {
  table result({{"SCHEDULE"}, {"RESULT"}});
  const std::string shown(change);
  result.add({name, shown}, {{"name", name}, {key, done}}, {name, shown});
  write_result(result.text(with.options.format), work_is_done);
  return exit_code::done;
}

exit_code remove(const name_arguments& given, const context& with) {
  const std::string& database = with.options.database;
  if (given.must_exist) static_cast<void>(tasks::find_schedule(given.name, database));
  const bool there = tasks::remove_schedule(given.name, database);
  return write_change(with, given.name, "removed", there ? "removed" : "was not there", there);
}

exit_code pause(const name_arguments& given, const context& with) {
  tasks::pause_schedule(given.name, with.options.database);
  return write_change(with, given.name, "paused", "paused");
}

exit_code resume(const name_arguments& given, const context& with) {
  tasks::resume_schedule(given.name, with.options.database);
  return write_change(with, given.name, "resumed", "resumed");
}

exit_code run_now(const name_arguments& given, const context& with) {
  const std::string& database = with.options.database;
  const std::string queue = tasks::find_schedule(given.name, database).definition.queue;
  const std::int64_t id = tasks::run_schedule_now(given.name, database);
  write_job_id(with, id);
  note_idle_queue(with, queue);
  return exit_code::done;
}

command add_set(CLI::App& group) {
  const auto given = std::make_shared<set_arguments>();  // Shared: the parser writes, run reads.
  CLI::App* parser =
      group.add_subcommand("set", "Make a schedule, or change it to exactly what is said here");
  parser->add_option("NAME", given->name, "The schedule")->required()->type_name("");
  add_times(*parser, *given);
  add_work(*parser, *given);
  add_policies(*parser, *given);
  add_job_settings(*parser, given->job);
  return {parser, [given](const context& with) { return set(*given, with); }};
}

command add_list_of(CLI::App& group) {
  return {group.add_subcommand("list", "List the schedules"), list};
}

using on_one = exit_code (*)(const name_arguments&, const context&);

// A command that takes the name of a schedule; `more` adds its options.
command add_named(CLI::App& group, const std::string& name, const std::string& text, on_one run,
                  void (*more)(CLI::App&, name_arguments&) = nullptr) {
  const auto given = std::make_shared<name_arguments>();  // Shared: the parser writes, run reads.
  CLI::App* parser = group.add_subcommand(name, text);
  parser->add_option("NAME", given->name, "The schedule")->required()->type_name("");
  if (more != nullptr) more(*parser, *given);
  return {parser, [given, run](const context& with) { return run(*given, with); }};
}

void add_must_exist(CLI::App& parser, name_arguments& into) {
  parser.add_flag("--must-exist", into.must_exist, "Fail if it is not there");
}

void add_count(CLI::App& parser, name_arguments& into) {
  parser.add_option("--count", into.count, "How many times are listed")
      ->type_name("N")
      ->check(CLI::Range(1, 1000).description(""))
      ->capture_default_str();
}

}  // namespace

command add_schedule(CLI::App& app) {
  CLI::App* parser =
      app.add_subcommand("schedule", "Say what is to be run when; a matview worker runs it");
  return command_group(
      parser,
      {add_set(*parser), add_list_of(*parser),
       add_named(*parser, "show", "Show all of a schedule, its next times and what it skipped",
                 show),
       add_named(*parser, "remove", "Remove a schedule; its jobs stay", remove, add_must_exist),
       add_named(*parser, "pause", "Let a schedule fire no more until it is resumed", pause),
       add_named(*parser, "resume", "Let a schedule go on with its next time", resume),
       add_named(*parser, "run-now", "Put a job of a schedule into its queue now", run_now),
       add_named(*parser, "next", "List the next times of a schedule", next, add_count)});
}

}  // namespace matview::cli
