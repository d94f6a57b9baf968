#include "cli/command.hpp"
#include "cli/output.hpp"
#include "cli/run.hpp"
#include <matview/doctor.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace matview::cli {

namespace {

struct doctor_arguments {
  std::vector<std::string> names;
  std::vector<std::string> schemas;
  std::string probe_limit;
  std::string unread_for;
};

// Nothing that a name in the database holds may act on the terminal.
std::string harmless(std::string text) {
  std::replace_if(
      text.begin(), text.end(),
      [](char c) { return (static_cast<unsigned char>(c) < ' ') || c == 0x7f; }, ' ');
  return text;
}

// The first line says what; why and the SQL stand below, indented.
std::string for_people(const std::vector<finding>& findings) {
  std::string out;
  for (const finding& one : findings) {
    out += fmt::format("{:<7}  {}: {}\n", to_string(one.level), harmless(one.object),
                       harmless(one.what));
    out += fmt::format("         {} [{}]\n", harmless(one.why), to_string(one.kind));
    std::string_view rest = one.mend;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      out += fmt::format("         {}\n", harmless(std::string(rest.substr(0, end))));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  return out;
}

std::string for_programs(const std::vector<finding>& findings, output_format format) {
  table out(std::vector<column>(6));
  for (const finding& one : findings) {
    const std::string level(to_string(one.level));
    const std::string kind(to_string(one.kind));
    std::vector<std::string> cells{level, kind, one.object, one.what, one.why, one.mend};
    out.add(cells,
            {{"severity", level},
             {"kind", kind},
             {"object", one.object},
             {"what", one.what},
             {"why", one.why},
             {"mend", text_value(one.mend)}},
            cells);
  }
  return out.text(format);
}

std::string counted(std::size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

std::string summary(const doctor_report& report) {
  const auto of = [&](severity level) {
    return static_cast<std::size_t>(
        std::count_if(report.findings.begin(), report.findings.end(),
                      [level](const finding& one) { return one.level == level; }));
  };
  std::string looked_at = counted(report.views.size(), "view");
  if (report.schedules > 0) looked_at += " and " + counted(report.schedules, "schedule");
  if (report.findings.empty()) {
    return fmt::format("looked at {}: nothing to report", looked_at);
  }
  return fmt::format("looked at {}: {}, {}, {}", looked_at, counted(of(severity::error), "error"),
                     counted(of(severity::warning), "warning"),
                     counted(of(severity::note), "note"));
}

asio::awaitable<void> examine_into(const doctor_options& options, doctor_report& into) {
  into = co_await aexamine_matviews(options);
}

exit_code doctor(const doctor_arguments& given, const context& with) {
  const doctor_options options{.database = with.options.database,
                               .schemas = given.schemas,
                               .names = given.names,
                               .probe_limit = optional_interval(given.probe_limit),
                               .unread_for = optional_interval(given.unread_for),
                               .log = with.screen.log()};
  doctor_report report;
  run_interruptibly(with.screen, "examining", examine_into(options, report));
  write_result(with.options.format == output_format::table
                   ? for_people(report.findings)
                   : for_programs(report.findings, with.options.format));
  for (const std::string& unseen : report.unseen) with.screen.note(unseen);
  with.screen.note(summary(report));
  const bool faulty = std::any_of(report.findings.begin(), report.findings.end(),
                                  [](const finding& one) { return one.level == severity::error; });
  return faulty ? exit_code::look_at_it : exit_code::done;
}

}  // namespace

command add_doctor(CLI::App& app) {
  const auto given = std::make_shared<doctor_arguments>();  // Shared: the parser writes, run reads.
  CLI::App* parser = app.add_subcommand(
      "doctor", "Look for what is wrong with views and schedules, and say how to mend it");
  CLI::Option* names = parser->add_option("NAME", given->names, "The views; without one all");
  names->type_name("")->check(not_empty());
  parser->add_option("--schema", given->schemas, "Only the views of this schema; may be repeated")
      ->type_name("NAME")
      ->check(not_empty())
      ->allow_extra_args(false)
      ->excludes(names);
  parser
      ->add_option("--probe-limit", given->probe_limit,
                   "Longest search for columns of a unique index (default: 10 seconds)")
      ->type_name("INTERVAL")
      ->check(not_empty());
  parser
      ->add_option("--unread-for", given->unread_for,
                   "How long nobody must have read a view to call it unused (default: 7 days)")
      ->type_name("INTERVAL")
      ->check(not_empty());
  return {parser, [given](const context& with) { return doctor(*given, with); }};
}

}  // namespace matview::cli
