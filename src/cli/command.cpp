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
  tally all;
  for (const std::string& name : names) {
    try {
      act(name);
      all.succeeded();
    } catch (const error& failed) {
      if (interrupted() && failed.code() == errc::cancelled) {
        with.screen.note(fmt::format("interrupted; {} {}", name, undone));
        return exit_code::interrupted;
      }
      with.screen.fail(failed);
      all.failed(exit_code_of(failed.code()));
    }
    if (interrupted()) return exit_code::interrupted;
  }
  return all.code();
}

}  // namespace matview::cli
