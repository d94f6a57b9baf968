#include "cli/main.hpp"

#include "cli/description.hpp"
#include "cli/output.hpp"
#include "cli/parser.hpp"
#include "cli/run.hpp"
#include "cli/secrets.hpp"
#include "cli/suggestion.hpp"
#include "text/quote.hpp"
#include <matview/databases.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <csignal>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

namespace matview::cli {

namespace {

namespace fs = std::filesystem;

// Where the configuration is when nobody says it.
fs::path default_config() {
  if (fs::exists("matview.toml")) return "matview.toml";
  const char* config_home = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  if (config_home != nullptr && *config_home != '\0') {
    return fs::path(config_home) / "matview" / "matview.toml";
  }
  if (home != nullptr) return fs::path(home) / ".config" / "matview" / "matview.toml";
  return {};
}

// An alias that nobody has written must not be in the message.
void configure_url(const std::string& url) {
  try {
    configure({{"default", url}});
  } catch (const error& refused) {
    std::string_view why = refused.what();
    constexpr std::string_view alias = "database \"default\": ";
    if (why.starts_with(alias)) why.remove_prefix(alias.size());
    throw error(refused.code(), fmt::format("--url: {}", why), {.hint = refused.hint()});
  }
}

void configure_databases_from(const global_options& options) {
  if (!options.url.empty()) {
    configure_url(options.url);
  } else if (!options.config.empty()) {
    load_config(options.config);
  } else if (const fs::path found = default_config(); !found.empty() && fs::exists(found)) {
    load_config(found);
  }
}

// The last command that was named, or the program.
const CLI::App& named_last(const CLI::App& app) {
  const CLI::App* where = &app;
  while (!where->get_subcommands().empty()) where = where->get_subcommands().back();
  return *where;
}

std::string commands_behind(const CLI::App& where) {
  std::vector<std::string> names;
  for (const CLI::App* command : visible_commands(where)) names.push_back(command->get_name());
  return fmt::format("{}", fmt::join(names, ", "));
}

// CLI11 misses a command before it looks at the words that it could not place, and lists those
// backwards.
std::string what_is_wrong(const CLI::App& where, const CLI::ParseError& wrong,
                          const std::vector<std::string>& unplaced) {
  const bool command_missing =
      !visible_commands(where).empty() && wrong.get_name() == "RequiredError";
  const std::string behind = where.get_parent() == nullptr ? "" : " of " + command_path(where);
  if (command_missing && unplaced.empty()) {
    return fmt::format("a command{} is missing: {}", behind, commands_behind(where));
  }
  if (command_missing && !unplaced.front().starts_with('-')) {
    return fmt::format("{} is not a command{}", text::shown(unplaced.front()), behind);
  }
  if (command_missing || wrong.get_name() == "ExtrasError") {
    return fmt::format("not expected: {}", fmt::join(unplaced, " "));
  }
  return wrong.what();
}

exit_code refuse_usage(command_line& line, const CLI::ParseError& wrong) {
  const CLI::App& where = named_last(line.app());
  const std::string help = command_path(where) + " --help";
  const std::vector<std::string> unplaced = line.app().remaining(true);
  const std::string closest = suggestion(where, unplaced);
  terminal(line.options())
      .fail(
          without_passwords(what_is_wrong(where, wrong, unplaced)),
          closest.empty() ? "see " + help : fmt::format("did you mean {}? See {}", closest, help));
  return exit_code::usage;
}

exit_code run_command(const command_line& line) {
  const terminal screen(line.options());
  try {
    if (line.chosen().uses_database) configure_databases_from(line.options());
    return line.chosen().run({line.options(), screen});
  } catch (const error& failed) {
    if (interrupted() && failed.code() == errc::cancelled) {
      screen.note("interrupted");
      return exit_code::interrupted;
    }
    screen.fail(failed);
    return exit_code_of(failed.code());
  }
}

exit_code write_help(const command_line& line, const std::string& text) {
  try {
    write_result(text);
    return exit_code::done;
  } catch (const error& failed) {
    terminal(line.options()).fail(failed);
    return exit_code::failed;
  }
}

exit_code run_arguments(const std::vector<std::string>& arguments) {
  command_line line;
  try {
    line.parse(arguments);
  } catch (const CLI::Success& asked) {  // --help, --version
    std::ostringstream out;
    line.app().exit(asked, out, out);
    return write_help(line, out.str());
  } catch (const CLI::ParseError& wrong) {
    return refuse_usage(line, wrong);
  }
  return run_command(line);
}

}  // namespace

int run(int argc, char** argv) noexcept {
  try {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    hide_passwords(argc, argv);
    std::signal(SIGPIPE, SIG_IGN);  // A closed pipe is an answer of write(), not an end.
    return static_cast<int>(run_arguments(arguments));
  } catch (const std::exception& unexpected) {
    fmt::print(stderr, "matview: error: {}\n", unexpected.what());
    return static_cast<int>(exit_code::failed);
  }
}

}  // namespace matview::cli
