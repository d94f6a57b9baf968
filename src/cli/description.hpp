#pragma once

#include <CLI/App.hpp>

#include <string>
#include <vector>

namespace matview::cli {

// What the parser knows of itself, as plain data: the manual page and the completions are printed
// from it.

struct option_description {
  std::vector<std::string> names;  ///< `-q`, `--quiet`; empty for a positional argument.
  std::string value;               ///< `INTERVAL`, or `text|json`; empty for a flag.
  std::string text;
};

struct command_description {
  std::string name;
  std::string text;
  std::vector<option_description> options;
  std::vector<option_description> positionals;
  std::vector<command_description> commands;  ///< Those behind it: `set` behind `schedule`.
};

struct program_description {
  std::vector<option_description> options;  ///< The global ones.
  std::vector<command_description> commands;
};

/// All that is not hidden. Pure.
[[nodiscard]] program_description describe_program(const CLI::App& app);

/// The commands that may stand behind this one; not the hidden ones. Pure.
[[nodiscard]] std::vector<const CLI::App*> visible_commands(const CLI::App& behind);

/// `matview schedule set`. Pure.
[[nodiscard]] std::string command_path(const CLI::App& command);

}  // namespace matview::cli
