#include "cli/command.hpp"
#include "cli/completion.hpp"
#include "cli/manual.hpp"
#include "cli/output.hpp"

#include <CLI/Validators.hpp>

#include <memory>
#include <string>

namespace matview::cli {

// Hidden: for the build, which installs what it prints.
command add_generate(CLI::App& app) {
  const auto what = std::make_shared<std::string>();  // Shared: the parser writes, run reads.
  CLI::App* parser = app.add_subcommand("generate", "Write the manual page or a shell completion");
  parser->group("");
  parser->add_option("WHAT", *what, "man, bash, zsh or fish")
      ->required()
      ->check(CLI::Validator(
          [](const std::string& page) {
            const bool known = page == "man" || page == "bash" || page == "zsh" || page == "fish";
            return known ? std::string() : "\"" + page + "\" is not man, bash, zsh or fish";
          },
          ""));
  const CLI::App* root = &app;
  return {parser,
          [what, root](const context&) {
            write_result(*what == "man" ? manual_page(*root) : completion(*root, *what));
            return exit_code::done;
          },
          false};
}

}  // namespace matview::cli
