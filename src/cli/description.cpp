#include "cli/description.hpp"

#include <utility>

namespace matview::cli {

namespace {

option_description describe_option(const CLI::Option& option) {
  option_description out;
  for (const std::string& name : option.get_snames()) out.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) out.names.push_back("--" + name);
  if (option.get_positional()) {
    out.value = option.get_name(true);
    if (option.get_items_expected_max() > 1) out.value += "...";
  } else if (option.get_items_expected_max() > 0) {
    out.value = option.get_type_name();
  }
  out.text = option.get_description();
  return out;
}

void collect(const CLI::App& from, command_description& into) {
  for (const CLI::Option* option : from.get_options()) {
    if (option->get_group().empty()) continue;
    auto& list = option->get_positional() ? into.positionals : into.options;
    list.push_back(describe_option(*option));
  }
  // Options of a group ("exactly one of these") belong to the command for a reader.
  for (const CLI::App* group : from.get_subcommands([](const CLI::App*) { return true; })) {
    if (group->get_name().empty()) collect(*group, into);
  }
}

std::vector<command_description> describe_commands(const CLI::App& behind) {
  std::vector<command_description> out;
  for (const CLI::App* command : visible_commands(behind)) {
    command_description described{command->get_name(), command->get_description(), {}, {}, {}};
    collect(*command, described);
    described.commands = describe_commands(*command);
    out.push_back(std::move(described));
  }
  return out;
}

}  // namespace

program_description describe_program(const CLI::App& app) {
  command_description global;
  collect(app, global);
  return {std::move(global.options), describe_commands(app)};
}

std::vector<const CLI::App*> visible_commands(const CLI::App& behind) {
  // One without a name is a group of options.
  return behind.get_subcommands([](const CLI::App* command) {
    return !command->get_name().empty() && !command->get_group().empty();
  });
}

std::string command_path(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return parent == nullptr ? command.get_name() : command_path(*parent) + ' ' + command.get_name();
}

}  // namespace matview::cli
