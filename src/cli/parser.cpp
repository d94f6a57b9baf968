#include "cli/parser.hpp"

#include "cli/command.hpp"
#include "cli/description.hpp"
#include "cli/version.hpp"

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <CLI/Validators.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <utility>

namespace matview::cli {

namespace {

// Not CLI::CheckedTransformer: it takes the enumerators' numbers, too, and its message is for
// programmers.
void parse_format(const std::string& text, output_format& into) {
  static const std::map<std::string, output_format> formats{
      {"table", output_format::table}, {"json", output_format::json}, {"tsv", output_format::tsv}};
  const auto found = formats.find(text);
  if (found == formats.end()) {
    throw CLI::ValidationError("--format", fmt::format("\"{}\" is not table, json or tsv", text));
  }
  into = found->second;
}

void add_globals(CLI::App& app, global_options& into) {
  app.add_option("--database", into.database, "The database, by its alias in the configuration")
      ->type_name("ALIAS")
      ->capture_default_str();
  app.add_option("--url", into.url,
                 "The database, by its address: postgresql://USER@HOST/NAME or embedded:PATH. A "
                 "password is better kept in ~/.pgpass or in $MATVIEW_URL")
      ->type_name("URL")
      ->check(not_empty())
      ->excludes("--database");
  app.add_option("--config", into.config,
                 "The configuration (default: matview.toml here, then in the user's config folder)")
      ->type_name("FILE")
      ->check(not_empty());
  app.add_option_function<std::string>(
         "--format", [&into](const std::string& text) { parse_format(text, into.format); },
         "How results are written: table, json or tsv")
      ->type_name("FORMAT")
      ->default_str("table");
  app.add_flag("-q,--quiet", into.quiet, "Say nothing on stderr but errors");
  app.add_flag("-v,--verbose", into.verbose, "Show each statement that is sent");
  app.add_flag("--no-color", into.no_color, "No colours, whatever the terminal can do");
}

constexpr std::string_view global_footer =
    "Global options (--url, --database, --format ...): see matview --help";

// `--queue, --limit`: what a group's parser takes for all commands of the group.
std::string shared_options(const CLI::App& group) {
  std::vector<std::string> names;
  for (const CLI::Option* option : group.get_options()) {
    if (option != group.get_help_ptr()) names.push_back(option->get_name());
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

// What holds for every command, and for those behind it.
void complete_command(CLI::App& parser, const std::string& footer) {
  parser.fallthrough();  // Options of what stands before it may stand behind it, too.
  parser.set_help_flag("-h,--help", "Show this help");
  parser.footer(footer);
  const std::string shared = shared_options(parser);
  std::string below(global_footer);
  if (!shared.empty()) {
    below = fmt::format("Further options: {}: see {} --help\n{}", shared, command_path(parser),
                        global_footer);
  }
  for (CLI::App* behind : parser.get_subcommands([](CLI::App*) { return true; })) {
    if (!behind->get_name().empty()) complete_command(*behind, below);
  }
}

}  // namespace

command_line::command_line()
    : app_(std::make_unique<CLI::App>("PostgreSQL materialized views, from birth to death",
                                      "matview")) {
  app_->require_subcommand(1);
  app_->fallthrough();  // Global options may stand behind the command, too.
  app_->set_version_flag("--version", "matview " + std::string(version));
  app_->set_help_flag("-h,--help", "Show this help");
  app_->get_formatter()->column_width(34);
  add_globals(*app_, options_);
  commands_ = {add_create(*app_),  add_refresh(*app_),        add_drop(*app_),
               add_list(*app_),    add_explain(*app_),        add_verify(*app_),
               add_convert(*app_), add_index_commands(*app_), add_status(*app_),
               add_history(*app_), add_graph(*app_),          add_declare(*app_),
               add_doctor(*app_),  add_cron(*app_),           add_schedule(*app_),
               add_jobs(*app_),    add_enqueue(*app_),        add_worker(*app_),
               add_workers(*app_), add_demo(*app_),           add_generate(*app_)};
  for (const command& known : commands_) {
    complete_command(*known.parser, std::string(global_footer));
  }
}

void command_line::parse(std::vector<std::string> arguments) {
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back.
  app_->parse(std::move(arguments));
}

const command& command_line::chosen() const {
  return *std::find_if(commands_.begin(), commands_.end(),
                       [](const command& known) { return known.parser->parsed(); });
}

}  // namespace matview::cli
