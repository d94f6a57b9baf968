#include "cli/suggestion.hpp"

#include "cli/description.hpp"
#include "text/edit_distance.hpp"

#include <algorithm>

namespace matview::cli {

namespace {

// Options and commands that may stand here.
std::vector<std::string> known_words(const CLI::App& where) {
  std::vector<std::string> out;
  for (const CLI::App* level = &where; level != nullptr; level = level->get_parent()) {
    for (const CLI::Option* option : level->get_options()) {
      for (const std::string& name : option->get_lnames()) out.push_back("--" + name);
    }
    for (const CLI::App* sub : level->get_subcommands([](const CLI::App*) { return true; })) {
      if (!sub->get_name().empty()) continue;
      for (const CLI::Option* option : sub->get_options()) {
        for (const std::string& name : option->get_lnames()) out.push_back("--" + name);
      }
    }
  }
  // A command may stand only where none has been given.
  for (const CLI::App* command : visible_commands(where)) out.push_back(command->get_name());
  return out;
}

}  // namespace

std::string suggestion(const CLI::App& where, const std::vector<std::string>& unknown) {
  const std::vector<std::string> known = known_words(where);
  for (const std::string& argument : unknown) {
    std::string word = argument.substr(0, argument.find('='));
    std::replace(word.begin(), word.end(), '_', '-');
    std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) {
      return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    });
    std::size_t best = word.size() <= 3 ? 2 : 3;  // one less is the most that may differ
    std::string closest;
    for (const std::string& candidate : known) {
      if (candidate.starts_with("--") != word.starts_with("--")) continue;
      const bool begun = word.size() > 4 && candidate.starts_with(word);
      const std::size_t distance = begun ? 1 : text::edit_distance(word, candidate);
      if (distance >= best) continue;
      best = distance;
      closest = candidate;
    }
    if (!closest.empty()) return closest;
  }
  return {};
}

}  // namespace matview::cli
