#pragma once

#include <CLI/App.hpp>

#include <string>
#include <vector>

namespace matview::cli {

// What the parser knows of itself, as plain data: the manual page and the completions are printed
// from it.

struct option_description {
  std::vector<std::string> names;  ///< `-q`, `--quiet`; empty for a positional argument.
  std::string value;               ///< `INTERVAL`; empty for a flag.
  std::string text;
};

struct command_description {
  std::string name;
  std::string text;
  std::vector<option_description> options;
  std::vector<option_description> positionals;
};

struct program_description {
  std::vector<option_description> options;  ///< The global ones.
  std::vector<command_description> commands;
};

/// All that is not hidden. Pure.
[[nodiscard]] program_description describe_program(const CLI::App& app);

}  // namespace matview::cli
