#include "cli/command.hpp"
#include "cli/output.hpp"
#include "text/quote.hpp"
#include "text/rfc3339.hpp"
#include "text/time_zone.hpp"
#include <matview/cron.hpp>

#include <CLI/Validators.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace matview::cli {

namespace {

struct cron_arguments {
  std::string expression;
  std::string zone = "UTC";
  std::string after;
  int count = 5;
  bool local = false;
};

// One run, in UTC and as the zone's clock shows it.
struct fire {
  std::string at;
  std::string local;
};

cron::instant begin_of(const cron_arguments& given) {
  if (given.after.empty()) {
    return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
  }
  const auto read = text::parse_rfc3339(given.after);
  if (read) return *read;
  throw error(errc::invalid_option,
              fmt::format("--after {} is not a time", text::shown(given.after)),
              {.hint = "write it as in 2026-11-22T07:16:30Z or 2026-11-22T08:16+01:00"});
}

std::vector<fire> next_fires(const cron& schedule, cron::instant after, int count) {
  const text::time_zone zone = text::time_zone::load(schedule.time_zone());
  std::vector<fire> fires;
  for (auto next = schedule.next_after(after); next && count > 0; --count) {
    const auto at = std::chrono::floor<std::chrono::seconds>(*next);
    fires.push_back({text::to_rfc3339(at), text::to_rfc3339(at, zone.at(at).offset)});
    next = schedule.next_after(*next);
  }
  return fires;
}

std::string as_lines(const std::vector<fire>& fires, std::string_view before_local) {
  std::string out;
  for (const fire& one : fires) {
    out += one.at;
    if (!before_local.empty()) out.append(before_local).append(one.local);
    out += '\n';
  }
  return out;
}

std::string as_json(const cron& schedule, const std::vector<std::string>& warnings,
                    const std::vector<fire>& fires) {
  boost::json::array next;
  for (const fire& one : fires) next.push_back({{"at", one.at}, {"local", one.local}});
  const boost::json::object all{{"expression", schedule.text()},
                                {"time_zone", schedule.time_zone()},
                                {"meaning", schedule.in_words()},
                                {"warnings", boost::json::array(warnings.begin(), warnings.end())},
                                {"next", next}};
  return boost::json::serialize(all) + '\n';
}

exit_code explain(const cron_arguments& given, const context& with) {
  const cron schedule = cron::parse(given.expression, given.zone);
  const cron::instant after = begin_of(given);
  const std::vector<std::string> warnings = schedule.warnings(after);
  const std::vector<fire> fires = next_fires(schedule, after, given.count);
  if (with.options.format == output_format::json) {
    write_result(as_json(schedule, warnings, fires));
    return exit_code::done;
  }
  with.screen.note(schedule.in_words());
  for (const std::string& warning : warnings) with.screen.note("warning: " + warning);
  const std::string_view gap = with.options.format == output_format::tsv ? "\t" : "  ";
  write_result(as_lines(fires, given.local ? gap : ""));
  return exit_code::done;
}

}  // namespace

command add_cron(CLI::App& app) {
  const auto given = std::make_shared<cron_arguments>();  // Shared: the parser writes, run reads.
  CLI::App* parser =
      app.add_subcommand("cron", "Say what a cron expression means and when it runs next");
  parser
      ->add_option("EXPR", given->expression,
                   "Five fields in quotes: minute, hour, day of month, month, day of week, such as "
                   "\"30 3 * * MON-FRI\"; or a word such as @daily")
      ->required()
      ->type_name("");
  parser->add_option("--tz", given->zone, "The time zone, by its IANA name, such as Europe/Berlin")
      ->type_name("ZONE")
      ->capture_default_str();
  parser->add_option("--after", given->after, "Runs later than this, in RFC 3339 (default: now)")
      ->type_name("TIME")
      ->check(not_empty());
  parser->add_option("--count", given->count, "How many runs are listed")
      ->type_name("N")
      ->check(CLI::Range(1, 1000).description(""))
      ->capture_default_str();
  parser->add_flag("--local", given->local, "Show the time zone's own time behind that in UTC");
  return {parser, [given](const context& with) { return explain(*given, with); }, false};
}

}  // namespace matview::cli
