#include "cli/command.hpp"

#include "cli/run.hpp"
#include <matview/identifier.hpp>

#include <fmt/format.h>

namespace matview::cli {

void add_timeouts(CLI::App& parser, timeout_options& into) {
  parser
      .add_option("--statement-timeout", into.statement_timeout,
                  "Longest run of one statement, such as \"30 minutes\"; 0 seconds for no limit")
      ->type_name("INTERVAL");
  parser
      .add_option("--lock-timeout", into.lock_timeout,
                  "Longest wait for one lock, such as \"5 seconds\"; 0 seconds for no limit")
      ->type_name("INTERVAL");
}

exit_code for_each_name(const context& with, const std::vector<std::string>& names,
                        const std::function<void(const std::string&)>& act,
                        std::string_view undone) {
  for (const std::string& name : names) static_cast<void>(identifier::parse(name));
  const auto stopped_at = [&](std::size_t next, std::string line) {
    for (std::size_t i = next; i < names.size(); ++i) {
      line += (i == next ? "; not begun: " : ", ") + names[i];
    }
    with.screen.note(line);
    return exit_code::interrupted;
  };
  tally all;
  for (std::size_t i = 0; i < names.size(); ++i) {
    try {
      act(names[i]);
      all.succeeded();
    } catch (const error& failed) {
      if (interrupted() && failed.code() == errc::cancelled) {
        return stopped_at(i + 1, fmt::format("interrupted; {} {}", names[i], undone));
      }
      with.screen.fail(failed);
      all.failed(exit_code_of(failed.code()));
    }
    if (interrupted()) return stopped_at(i + 1, fmt::format("interrupted after {}", names[i]));
  }
  return all.code();
}

}  // namespace matview::cli
