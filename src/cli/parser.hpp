#pragma once

#include "cli/command.hpp"
#include "cli/options.hpp"

#include <CLI/App.hpp>

#include <memory>
#include <string>
#include <vector>

namespace matview::cli {

/// The whole command line: the one description that parsing, help, the manual page and the shell
/// completions come from.
class command_line final {
 public:
  command_line();

  /// @throws CLI::ParseError, also for --help and --version.
  void parse(std::vector<std::string> arguments);

  [[nodiscard]] const global_options& options() const noexcept { return options_; }

  /// The command that was named.
  [[nodiscard]] const command& chosen() const;

  [[nodiscard]] CLI::App& app() noexcept { return *app_; }

 private:
  std::unique_ptr<CLI::App> app_;
  global_options options_;
  std::vector<command> commands_;
};

}  // namespace matview::cli
