#pragma once

#include "cli/exit_code.hpp"
#include "cli/options.hpp"
#include "cli/output.hpp"
#include "cli/terminal.hpp"
#include "pg/asio.hpp"

#include <CLI/App.hpp>
#include <CLI/Validators.hpp>

#include <functional>
#include <string>
#include <vector>

namespace matview::cli {

/// What a command runs with.
struct context {
  const global_options& options;
  const terminal& screen;
};

/// A command: the parser's description of it, which holds the options' variables, and what it does.
struct command {
  CLI::App* parser;
  std::function<exit_code(const context&)> run;
  bool uses_database = true;  ///< Whether the configuration is read first.
};

// One function a command, in a file of its name: adds the description to the parser.
command add_create(CLI::App& app);
command add_refresh(CLI::App& app);
command add_drop(CLI::App& app);
command add_explain(CLI::App& app);
command add_verify(CLI::App& app);
command add_convert(CLI::App& app);
command add_index_commands(CLI::App& app);
command add_list(CLI::App& app);
command add_status(CLI::App& app);
command add_graph(CLI::App& app);
command add_declare(CLI::App& app);
command add_doctor(CLI::App& app);
command add_history(CLI::App& app);
command add_cron(CLI::App& app);
command add_demo(CLI::App& app);
command add_schedule(CLI::App& app);
command add_jobs(CLI::App& app);
command add_enqueue(CLI::App& app);
command add_worker(CLI::App& app);
command add_workers(CLI::App& app);
command add_generate(CLI::App& app);

/// Commands behind a word of their own, as `schedule set` and `schedule list`: one of `members`,
/// which were added to `parser`, must be named.
command command_group(CLI::App* parser, std::vector<command> members);

/// For values that come out of a shell's variable: an empty one must not mean "as if not given".
[[nodiscard]] CLI::Validator not_empty();

/// For values that are one of a few words.
[[nodiscard]] CLI::Validator one_of(std::vector<std::string> words);

/// --statement-timeout and --lock-timeout.
void add_timeouts(CLI::App& parser, timeout_options& into);

/// What a command does to each of the views that it is given.
struct work_on_views {
  std::string_view doing;                       ///< For the person who waits: `refreshing`.
  std::string_view untouched = "is as it was";  ///< Of a view whose work was interrupted.
  /// Does it to the view of this name and adds what was done to the table, or throws error.
  std::function<asio::awaitable<void>(const std::string&, table&)> act;
};

/// Does the work to one view after the other: stops at an interruption, tells each failure on
/// standard error, and writes what was done, in `done`, to standard output.
exit_code for_each_name(const context& with, const std::vector<std::string>& names,
                        const work_on_views& work, table done);

}  // namespace matview::cli
