#include "cli/job_options.hpp"

#include "cli/input_file.hpp"
#include "text/quote.hpp"
#include "text/utf8.hpp"
#include <matview/error.hpp>
#include <matview/identifier.hpp>
#include <matview/jobs.hpp>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace matview::cli {

namespace json = boost::json;

namespace {

// Cut between two characters of UTF-8.
std::string shortened(std::string whole) {
  constexpr std::size_t longest = 60;
  if (whole.size() <= longest) return whole;
  std::size_t end = longest - 3;
  while (end > 0 && !text::starts_character(whole[end])) --end;
  return whole.substr(0, end) + "...";
}

}  // namespace

void add_job_settings(CLI::App& parser, job_settings& into) {
  parser.add_option("--queue", into.queue, "The queue that workers fetch it from")
      ->type_name("NAME")
      ->check(not_empty())
      ->capture_default_str();
  parser.add_option("--priority", into.priority, "The lower, the sooner")
      ->type_name("N")
      ->capture_default_str();
  parser
      .add_option("--max-attempts", into.max_attempts,
                  "How many times it may be tried before it is dead")
      ->type_name("N")
      ->capture_default_str();
  parser
      .add_option("--timeout", into.timeout,
                  "Longest run of one attempt, such as \"30 minutes\" (default: no limit)")
      ->type_name("INTERVAL")
      ->check(not_empty());
}

void add_task_arguments(CLI::App& parser, task_arguments& into) {
  CLI::Option* text = parser.add_option("--args", into.text, "Its arguments, a JSON object")
                          ->type_name("JSON")
                          ->capture_default_str();
  parser.add_option("--args-file", into.file, "A file that holds them, or - for standard input")
      ->type_name("FILE")
      ->check(not_empty())
      ->excludes(text);
}

std::string read_arguments(const task_arguments& given) {
  return given.file.empty() ? given.text : read_file(given.file, "one JSON object");
}

void add_refresh_settings(CLI::App& parser, refresh_settings& into, CLI::Option* view) {
  CLI::Option* concurrently =
      parser.add_flag("--concurrently", into.concurrently,
                      "Let readers of the view go on reading; it needs a unique index");
  CLI::Option* mode = parser
                          .add_option("--mode", into.mode,
                                      "auto (concurrently where readers would notice), full, "
                                      "concurrently; of incremental views all but full apply "
                                      "what has changed")
                          ->type_name("MODE")
                          ->check(one_of({"auto", "full", "concurrently"}))
                          ->excludes(concurrently);
  CLI::Option* if_changed = parser.add_flag(
      "--if-changed", into.if_changed, "Leave it out when none of the view's tables has changed");
  if (view == nullptr) return;
  for (CLI::Option* one : {concurrently, mode, if_changed}) one->needs(view);
}

std::string refresh_arguments(const refresh_settings& given) {
  static_cast<void>(identifier::parse(given.view));
  json::object out{{"view", given.view}, {"concurrently", given.concurrently}};
  if (!given.mode.empty()) out["mode"] = given.mode;
  if (given.if_changed) out["if_changed"] = true;
  return json::serialize(out);
}

std::string read_statement(const std::string& sql, const std::string& file) {
  return file.empty() ? sql : read_file(file, "one statement");
}

std::string sql_arguments(const std::string& sql) {
  return json::serialize(json::object{{"sql", sql}});
}

std::string shown_task(const std::string& task, const std::string& args) {
  const json::value parsed = json::parse(args);
  const json::object& object = parsed.as_object();
  if (object.empty()) return task;
  const std::string_view main = task == "refresh" ? "view" : "sql";
  const json::value* value =
      task == "refresh" || task == "sql" ? object.if_contains(main) : nullptr;
  const bool readable = value != nullptr && value->is_string();
  return task + ' ' + shortened(readable ? std::string(value->as_string()) : args);
}

void write_job_id(const context& with, std::int64_t id) {
  const std::string text = with.options.format == output_format::json
                               ? json::serialize(json::object{{"id", id}})
                               : fmt::format("{}", id);
  write_result(text + '\n', work_is_done);
}

void note_idle_queue(const context& with, const std::string& queue) {
  const auto works_on_it = [&queue](const tasks::worker_info& worker) {
    const bool named =
        std::find(worker.queues.begin(), worker.queues.end(), queue) != worker.queues.end();
    return worker.alive && !worker.stopping_at && (worker.queues.empty() || named);
  };
  try {
    const std::vector<tasks::worker_info> workers = tasks::list_workers(with.options.database);
    if (std::any_of(workers.begin(), workers.end(), works_on_it)) return;
  } catch (const error&) {
    return;  // A role that may enqueue need not be able to see the workers.
  }
  with.screen.note(
      fmt::format("no worker works on queue {} now; matview worker is one", text::shown(queue)));
}

}  // namespace matview::cli
