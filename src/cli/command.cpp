#include "cli/command.hpp"

#include "cli/report_table.hpp"
#include "cli/run.hpp"
#include "text/quote.hpp"
#include <matview/identifier.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace matview::cli {

command command_group(CLI::App* parser, std::vector<command> members) {
  parser->require_subcommand(1);
  const auto run = [members = std::move(members)](const context& with) {
    const auto named = std::find_if(members.begin(), members.end(),
                                    [](const command& member) { return member.parser->parsed(); });
    return named->run(with);
  };
  return {parser, run};
}

CLI::Validator not_empty() {
  return CLI::Validator(
      [](const std::string& text) { return std::string(text.empty() ? "the value is empty" : ""); },
      "");
}

CLI::Validator one_of(std::vector<std::string> words) {
  const auto why = [words = std::move(words)](const std::string& text) {
    if (std::find(words.begin(), words.end(), text) != words.end()) return std::string();
    return fmt::format("{} is not {} or {}", text::shown(text),
                       fmt::join(words.begin(), words.end() - 1, ", "), words.back());
  };
  return CLI::Validator(why, "");
}

void add_timeouts(CLI::App& parser, timeout_options& into) {
  parser
      .add_option("--statement-timeout", into.statement_timeout,
                  "Longest run of one statement, such as \"30 minutes\"; 0 seconds for no limit")
      ->type_name("INTERVAL")
      ->check(not_empty());
  parser
      .add_option("--lock-timeout", into.lock_timeout,
                  "Longest wait for one lock, such as \"5 seconds\"; 0 seconds for no limit")
      ->type_name("INTERVAL")
      ->check(not_empty());
}

namespace {

// Interrupted at `done` of `names`: which ones nobody has begun.
std::string not_begun(const std::vector<std::string>& names, std::size_t done) {
  if (done >= names.size()) return {};
  return fmt::format("; not begun: {}",
                     fmt::join(names.begin() + static_cast<long>(done), names.end(), ", "));
}

}  // namespace

exit_code for_each_name(const context& with, const std::vector<std::string>& names,
                        const work_on_views& work, table done) {
  for (const std::string& name : names) static_cast<void>(identifier::parse(name));
  tally all;
  std::size_t begun = 0;
  for (const std::string& name : names) {
    ++begun;
    try {
      run_interruptibly(with.screen, fmt::format("{} {}", work.doing, name), work.act(name, done));
      all.succeeded();
    } catch (const error& failed) {
      add_failure(done, name, failed);
      if (interrupted() && failed.code() == errc::cancelled) {
        with.screen.note(
            fmt::format("interrupted; {} {}{}", name, work.untouched, not_begun(names, begun)));
        break;
      }
      const bool unnamed =
          names.size() > 1 && std::string_view(failed.what()).find(name) == std::string_view::npos;
      with.screen.fail(unnamed ? fmt::format("{}: {}", name, failed.what()) : failed.what(),
                       failed.hint());
      all.failed(exit_code_of(failed.code()));
    }
    if (interrupted()) {
      with.screen.note("interrupted" + not_begun(names, begun));
      break;
    }
  }
  write_result(done.text(with.options.format), work_is_done);
  return interrupted() ? exit_code::interrupted : all.code();
}

}  // namespace matview::cli
