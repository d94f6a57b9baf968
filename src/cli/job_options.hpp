#pragma once

#include "cli/command.hpp"

#include <CLI/App.hpp>

#include <cstdint>
#include <string>

namespace matview::cli {

// What `schedule set` and `enqueue` have in common.

/// How jobs are run, as it was written. Plain data, filled by the parser.
struct job_settings {
  std::string queue = "default";
  int priority = 100;
  int max_attempts = 5;
  std::string timeout;
};

/// --queue, --priority, --max-attempts and --timeout.
void add_job_settings(CLI::App& parser, job_settings& into);

/// The arguments of a task, as they were written or as the file that holds them.
struct task_arguments {
  std::string text = "{}";
  std::string file;
};

/// --args and --args-file.
void add_task_arguments(CLI::App& parser, task_arguments& into);

/// @throws error with errc::invalid_option for a file that cannot be read.
[[nodiscard]] std::string read_arguments(const task_arguments& given);

/// How a job refreshes its view, as it was written.
struct refresh_settings {
  std::string view;
  bool concurrently = false;
  std::string mode;
  bool if_changed = false;
};

/// --concurrently, --mode and --if-changed; each needs `view` if that is an option.
void add_refresh_settings(CLI::App& parser, refresh_settings& into, CLI::Option* view = nullptr);

/// What the task `refresh` takes. @throws error with errc::invalid_identifier.
[[nodiscard]] std::string refresh_arguments(const refresh_settings& given);

/// The statement as it was written, or as the file holds it.
/// @throws error with errc::invalid_option for a file that cannot be read.
[[nodiscard]] std::string read_statement(const std::string& sql, const std::string& file);

/// What the task `sql` takes.
[[nodiscard]] std::string sql_arguments(const std::string& sql);

/// What a person needs to know of a job or a schedule: `refresh sales.daily`.
[[nodiscard]] std::string shown_task(const std::string& task, const std::string& args);

/// The id of a job that was put into a queue.
void write_job_id(const context& with, std::int64_t id);

/// Says so if no worker works on this queue. Never fails: it comes after what was asked for.
void note_idle_queue(const context& with, const std::string& queue);

}  // namespace matview::cli
