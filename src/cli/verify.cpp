#include "cli/command.hpp"
#include "cli/output.hpp"
#include <matview/incremental.hpp>

#include <boost/json/array.hpp>
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

namespace matview::cli {

namespace {

struct verify_arguments {
  std::vector<std::string> names;
  bool repair = false;
  timeout_options timeouts;
};

asio::awaitable<void> verify_one(const std::string& name, const verify_options& options,
                                 const terminal& screen, table& into, bool& wrong) {
  const verify_report found = co_await averify_matview(name, options);
  const std::string result = found.repaired ? "repaired" : found.right() ? "right" : "WRONG";
  const std::string missing = fmt::format("{}", found.missing);
  const std::string unexpected = fmt::format("{}", found.unexpected);
  into.add({found.view, result, missing, unexpected},
           {{"view", found.view},
            {"right", found.right()},
            {"missing", found.missing},
            {"unexpected", found.unexpected},
            {"repaired", found.repaired},
            {"samples", boost::json::array(found.samples.begin(), found.samples.end())}},
           {found.view, result, missing, unexpected});
  for (const std::string& sample : found.samples) screen.note(found.view + ": " + sample);
  wrong = wrong || !found.right();
}

exit_code verify(const verify_arguments& given, const context& with) {
  const verify_options options{
      .database = with.options.database,
      .repair = given.repair,
      .statement_timeout = optional_interval(given.timeouts.statement_timeout),
      .lock_timeout = optional_interval(given.timeouts.lock_timeout),
      .log = with.screen.log()};
  bool wrong = false;
  const auto act = [&](const std::string& name, table& into) {
    return verify_one(name, options, with.screen, into, wrong);
  };
  const exit_code code =
      for_each_name(with, given.names, {.doing = "verifying", .act = act},
                    table({{"VIEW"}, {"RESULT"}, {"MISSING", true}, {"UNEXPECTED", true}}));
  return code == exit_code::done && wrong ? exit_code::look_at_it : code;
}

}  // namespace

command add_verify(CLI::App& app) {
  const auto given = std::make_shared<verify_arguments>();  // Shared: the parser writes, run reads.
  CLI::App* parser =
      app.add_subcommand("verify", "Compare incremental views with their queries, on one snapshot");
  parser->add_option("NAME", given->names, "The views: VIEW or SCHEMA.VIEW")
      ->required()
      ->type_name("");
  parser->add_flag("--repair", given->repair, "Make a view that differs anew");
  add_timeouts(*parser, given->timeouts);
  return {parser, [given](const context& with) { return verify(*given, with); }};
}

}  // namespace matview::cli
