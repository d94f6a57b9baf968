#include "cli/description.hpp"

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

}  // namespace

program_description describe_program(const CLI::App& app) {
  command_description global;
  collect(app, global);
  program_description out{std::move(global.options), {}};
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (sub->get_name().empty() || sub->get_group().empty()) continue;
    command_description described{sub->get_name(), sub->get_description(), {}, {}};
    collect(*sub, described);
    out.commands.push_back(std::move(described));
  }
  return out;
}

}  // namespace matview::cli
