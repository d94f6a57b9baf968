#include "cli/command.hpp"
#include "cli/output.hpp"
#include "cli/run.hpp"
#include <matview/status.hpp>

#include <boost/json/object.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace matview::cli {

namespace {

namespace json = boost::json;

using std::chrono::microseconds;

struct status_arguments {
  std::vector<std::string> names;
  std::vector<std::string> schemas;
};

std::string name_of(const view_status& view) {
  return view.schema + '.' + view.name;
}

std::string_view kind_of(const view_status& view) {
  return view.kind == view_kind::incremental ? "incremental" : "native";
}

std::string shown(const std::optional<microseconds>& length) {
  return length ? pretty_duration(*length) : "";
}

// `12 s`, `3 min`, `5 h`, `2 days`: nobody needs the seconds of a day.
std::string shown_age(const view_status& view) {
  if (!view.age) return "";
  // When others have refreshed it is not known, but it was later than the last one that is.
  const std::string_view bound = view.outside && view.outside->refreshed ? "< " : "";
  const double s = seconds(*view.age);
  if (s < 120) return fmt::format("{}{:.0f} s", bound, s);
  if (s < 7'200) return fmt::format("{}{:.0f} min", bound, s / 60);
  if (s < 172'800) return fmt::format("{}{:.0f} h", bound, s / 3'600);
  return fmt::format("{}{:.0f} days", bound, s / 86'400);
}

std::optional<microseconds> took(const view_status& view) {
  return view.last ? std::optional(view.last->took()) : std::nullopt;
}

std::optional<microseconds> usually(const view_status& view) {
  return view.usual ? std::optional(view.usual->median) : std::nullopt;
}

std::string shown_next(const view_status& view) {
  if (!view.next) return "";
  return view.next->paused ? "paused" : shown_time(view.next->at);
}

std::string shown_size(const view_status& view) {
  return view.bytes ? pretty_bytes(*view.bytes) : "locked";
}

std::string shown_running(const view_status::running_refresh& running) {
  const std::string since = running.elapsed ? " for " + pretty_duration(*running.elapsed) : "";
  return fmt::format("running{} by {}: {}", since, running.by, running.compared);
}

std::string shown_outside(const view_status::outside_change& outside) {
  return fmt::format("{} outside: {}", outside.refreshed ? "refreshed" : "altered",
                     outside.seen_by);
}

std::string shown_error(const view_status::failed_refresh& failed) {
  const std::string code = failed.sqlstate.empty() ? "" : " [" + failed.sqlstate + "]";
  return fmt::format("{}{}: {}", short_rfc3339(std::chrono::floor<std::chrono::seconds>(failed.at)),
                     code, failed.message);
}

// What needs a person's eye; `said` holds reasons that are told once for all views.
std::string note_of(const view_status& view, const std::vector<std::string>& said) {
  std::vector<std::string> notes;
  if (view.running) notes.push_back(shown_running(*view.running));
  if (view.outside) notes.push_back(shown_outside(*view.outside));
  const bool mended = view.error && view.last && view.last->finished > view.error->at;
  if (view.error && !mended) notes.push_back("failed " + shown_error(*view.error));
  const bool told = std::find(said.begin(), said.end(), view.reason) != said.end() ||
                    (view.outside && view.outside->refreshed);
  if (view.fresh != freshness::fresh && !told) notes.push_back(view.reason);
  return fmt::format("{}", fmt::join(notes, "; "));
}

// A length is a number wherever it stands.
void add_seconds(json::object& to, std::string_view key,
                 const std::optional<microseconds>& length) {
  if (length) to[key] = seconds(*length);
}

json::value last_value(const view_status& view) {
  if (!view.last) return {};
  const view_status::refresh& last = *view.last;
  return json::object{{"started", rfc3339(last.started)},
                      {"finished", rfc3339(last.finished)},
                      {"duration_seconds", seconds(last.took())},
                      {"mode", to_string(last.mode)},
                      {"rows", last.rows ? json::value(*last.rows) : json::value()},
                      {"asked_by", to_string(last.asked_by)}};
}

json::value usual_value(const view_status& view) {
  if (!view.usual) return {};
  return json::object{{"median_seconds", seconds(view.usual->median)},
                      {"mad_seconds", seconds(view.usual->deviation)},
                      {"refreshes", view.usual->refreshes}};
}

json::value running_value(const view_status& view) {
  if (!view.running) return {};
  json::object out{{"since", time_value(view.running->since)},
                   {"by", view.running->by},
                   {"compared", view.running->compared}};
  add_seconds(out, "elapsed_seconds", view.running->elapsed);
  return out;
}

json::value outside_value(const view_status& view) {
  if (!view.outside) return {};
  return json::object{{"refreshed", view.outside->refreshed},
                      {"mode", to_string(view.outside->mode)},
                      {"seen_by", view.outside->seen_by}};
}

json::value next_value(const view_status& view) {
  if (!view.next) return {};
  return json::object{{"schedule", view.next->schedule},
                      {"at", time_value(view.next->at)},
                      {"paused", view.next->paused}};
}

json::value error_value(const view_status& view) {
  if (!view.error) return {};
  return json::object{{"at", rfc3339(view.error->at)},
                      {"sqlstate", text_value(view.error->sqlstate)},
                      {"message", view.error->message}};
}

json::object values_of(const view_status& view) {
  json::object out{{"schema", view.schema},
                   {"name", view.name},
                   {"kind", kind_of(view)},
                   {"populated", view.populated},
                   {"freshness", to_string(view.fresh)},
                   {"reason", view.reason},
                   {"bytes", view.bytes ? json::value(*view.bytes) : json::value()},
                   {"last", last_value(view)},
                   {"outside", outside_value(view)},
                   {"usual", usual_value(view)},
                   {"running", running_value(view)},
                   {"next", next_value(view)},
                   {"error", error_value(view)}};
  add_seconds(out, "age_seconds", view.age);
  return out;
}

std::string plain(const std::optional<microseconds>& length) {
  return length ? fmt::format("{:.6f}", seconds(*length)) : "";
}

void add_row(table& to, const view_status& view, const std::vector<std::string>& said) {
  const std::string name = name_of(view);
  const std::string fresh(to_string(view.fresh));
  const std::string kind(kind_of(view));
  to.add({name, kind, fresh, shown_age(view), shown(took(view)), shown(usually(view)),
          shown_next(view), shown_size(view), note_of(view, said)},
         values_of(view),
         {name, fresh, plain(view.age), plain(took(view)), plain(usually(view)), shown_next(view),
          view.bytes ? fmt::format("{}", *view.bytes) : "", note_of(view, {}), kind});
}

std::string shown_last(const view_status& view) {
  if (!view.last) return "none is remembered";
  return fmt::format("{}, {}, by {}",
                     short_rfc3339(std::chrono::floor<std::chrono::seconds>(view.last->started)),
                     to_string(view.last->mode), to_string(view.last->asked_by));
}

record described(const view_status& view) {
  record out;
  out.add("view", name_of(view));
  out.add("kind", std::string(kind_of(view)));
  out.add("freshness", fmt::format("{}: {}", to_string(view.fresh), view.reason));
  out.add("populated", view.populated ? "yes" : "no");
  out.add("size", shown_size(view));
  out.add("last refresh", shown_last(view));
  if (view.age) out.add("age", shown_age(view));
  if (view.last) {
    out.add("time taken", pretty_duration(view.last->took()));
    if (view.last->rows) out.add("rows", pretty_count(*view.last->rows));
  }
  if (view.outside) out.add("outside", shown_outside(*view.outside));
  if (view.usual) {
    out.add("usual time",
            fmt::format("{}, MAD {}, of {} refresh{}", pretty_duration(view.usual->median),
                        pretty_duration(view.usual->deviation), view.usual->refreshes,
                        view.usual->refreshes == 1 ? "" : "es"));
  }
  out.add("now", view.running ? shown_running(*view.running) : "not running");
  if (view.next) {
    out.add("next", fmt::format("{}, by schedule {}", shown_next(view), view.next->schedule));
  } else {
    out.add("next", "no schedule");
  }
  out.add("last error", view.error ? shown_error(*view.error) : "none");
  return out;
}

asio::awaitable<void> status_into(const status_options& options, status_report& into) {
  into = co_await amatview_status(options);
}

exit_code status(const status_arguments& given, const context& with) {
  const status_options options{.database = with.options.database,
                               .names = given.names,
                               .schemas = given.schemas,
                               .log = with.screen.log()};
  status_report report;
  run_interruptibly(with.screen, "looking", status_into(options, report));
  if (given.names.size() == 1 && report.views.size() == 1) {
    const view_status& view = report.views.front();
    write_result(described(view).text(with.options.format, values_of(view)));
  } else {
    table rows({{"VIEW"},
                {"KIND"},
                {"FRESHNESS"},
                {"AGE", true},
                {"LAST", true},
                {"USUAL", true},
                {"NEXT"},
                {"SIZE", true},
                {"NOTE"}});
    for (const view_status& view : report.views) add_row(rows, view, report.unseen);
    write_result(rows.text(with.options.format));
  }
  if (report.views.empty()) with.screen.note("no materialized views");
  for (const std::string& unseen : report.unseen) with.screen.note(unseen);
  return exit_code::done;
}

}  // namespace

command add_status(CLI::App& app) {
  const auto given = std::make_shared<status_arguments>();  // Shared: the parser writes, run reads.
  CLI::App* parser =
      app.add_subcommand("status", "Show how fresh views are, how long they take, and what is due");
  CLI::Option* names = parser->add_option("NAME", given->names,
                                          "The views; one alone is shown in full; without one all");
  names->type_name("")->check(not_empty());
  parser->add_option("--schema", given->schemas, "Only the views of this schema; may be repeated")
      ->type_name("NAME")
      ->check(not_empty())
      ->allow_extra_args(false)
      ->excludes(names);
  return {parser, [given](const context& with) { return status(*given, with); }};
}

}  // namespace matview::cli
