#pragma once

#include "cli/exit_code.hpp"
#include "cli/options.hpp"
#include "cli/terminal.hpp"

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
command add_list(CLI::App& app);
command add_cron(CLI::App& app);
command add_demo(CLI::App& app);
command add_generate(CLI::App& app);

/// For values that come out of a shell's variable: an empty one must not mean "as if not given".
[[nodiscard]] CLI::Validator not_empty();

/// --statement-timeout and --lock-timeout.
void add_timeouts(CLI::App& parser, timeout_options& into);

/// What happens to each of several items in turn: stops at an interruption, tells each failure, and
/// sums up. `act` returns normally or throws error; `untouched` is what is said of an item whose
/// act was interrupted.
exit_code for_each_name(const context& with, const std::vector<std::string>& names,
                        const std::function<void(const std::string&)>& act,
                        std::string_view untouched = "is as it was");

}  // namespace matview::cli
