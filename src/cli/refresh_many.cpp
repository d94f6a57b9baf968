#include "cli/refresh_many.hpp"

#include "cli/output.hpp"
#include "cli/run.hpp"
#include <matview/error.hpp>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace matview::cli {

namespace {

namespace json = boost::json;
using std::chrono::microseconds;

[[noreturn]] void refuse(const std::string& what, std::string_view hint) {
  throw error(errc::invalid_option, what, {.hint = std::string(hint)});
}

std::string shown(const std::optional<microseconds>& duration) {
  return duration ? pretty_duration(*duration) : "";
}

std::string plain_seconds(const std::optional<microseconds>& duration) {
  return duration ? fmt::format("{:.6f}", seconds(*duration)) : "";
}

// --dry-run

void add_planned(table& to, const planned_refresh& one, std::size_t number) {
  const std::string mode(to_string(one.mode));
  const std::string after =
      one.skipped.empty() ? fmt::format("{}", fmt::join(one.after, ", ")) : one.skipped;
  json::object values{{"view", one.view},
                      {"mode", mode},
                      {"mode_reason", one.mode_reason},
                      {"after", json::array(one.after.begin(), one.after.end())},
                      {"skipped", text_value(one.skipped)}};
  if (one.begins) values["begins_seconds"] = seconds(*one.begins);
  if (one.expected) values["expected_seconds"] = seconds(*one.expected);
  to.add({fmt::format("{}", number), one.view, one.skipped.empty() ? mode : "skipped",
          shown(one.begins), shown(one.expected), after, one.mode_reason},
         std::move(values),
         {fmt::format("{}", number), one.view, mode, plain_seconds(one.begins),
          plain_seconds(one.expected), after, one.mode_reason});
}

asio::awaitable<void> forecast_into(const refresh_many_options& options, refresh_forecast& into) {
  into = co_await aforecast_refresh(options);
}

exit_code show_plan(const refresh_many_options& options, const context& with) {
  refresh_forecast plan;
  run_interruptibly(with.screen, "planning", forecast_into(options, plan));
  table rows(
      {{"#", true}, {"VIEW"}, {"MODE"}, {"BEGINS", true}, {"EXPECTED", true}, {"AFTER"}, {"WHY"}});
  std::size_t number = 0;
  for (const planned_refresh& one : plan.views) add_planned(rows, one, ++number);
  write_result(rows.text(with.options.format));
  const std::string time =
      plan.expected
          ? fmt::format("about {}, at least {} with any number of jobs",
                        pretty_duration(*plan.expected), pretty_duration(*plan.critical_path))
          : "how long it takes is not known: these views have no history";
  with.screen.note(fmt::format("{} views, {} at once: {}", plan.views.size(), plan.jobs, time));
  return exit_code::done;
}

// What was done

table outcome_table() {
  return table({{"VIEW"},
                {"OUTCOME"},
                {"MODE"},
                {"ROWS", true},
                {"SIZE", true},
                {"TIME", true},
                {"REASON"}});
}

json::object values_of(const refreshed_view& one) {
  json::object out{
      {"view", one.view}, {"outcome", to_string(one.outcome)}, {"reason", text_value(one.reason)}};
  if (one.report) {
    const refresh_report& report = *one.report;
    if (one.reason.empty()) out["reason"] = report.reason;
    out["mode"] = to_string(report.mode);
    out["started"] = rfc3339(report.started);
    out["duration_seconds"] = seconds(report.duration);
    out["rows"] = report.rows ? json::value(*report.rows) : json::value();
    out["bytes"] = report.bytes;
  }
  if (one.failure) {
    out["error"] = json::object{{"code", to_string(one.failure->code())},
                                {"sqlstate", one.failure->sqlstate()},
                                {"message", one.failure->what()},
                                {"hint", one.failure->hint()}};
  }
  return out;
}

std::string words_of(refresh_outcome outcome) {
  std::string out(to_string(outcome));
  std::replace(out.begin(), out.end(), '_', ' ');
  return out;
}

void add_outcome(table& to, const refreshed_view& one) {
  std::string mode;
  std::string rows;
  std::string size;
  std::string time;
  std::vector<std::string> plain{"", "", "", ""};
  std::string reason = one.reason;
  if (one.report) {
    const refresh_report& report = *one.report;
    mode = to_string(report.mode);
    rows = report.rows ? pretty_count(*report.rows) : "";
    size = pretty_bytes(report.bytes);
    time = pretty_duration(report.duration);
    plain = {mode, report.rows ? fmt::format("{}", *report.rows) : "",
             fmt::format("{}", report.bytes), fmt::format("{:.6f}", seconds(report.duration))};
    if (reason.empty()) reason = report.reason;
  }
  plain.insert(plain.begin(), {one.view, std::string(to_string(one.outcome))});
  plain.push_back(reason);
  to.add({one.view, words_of(one.outcome), mode, rows, size, time, reason}, values_of(one),
         std::move(plain));
}

// `60 views: 57 done, 1 failed, 2 upstream failed`
std::string counts_of(const refresh_summary& summary) {
  std::string out = fmt::format("{} views:", summary.views.size());
  std::string_view separator = " ";
  for (const auto outcome :
       {refresh_outcome::done, refresh_outcome::failed, refresh_outcome::upstream_failed,
        refresh_outcome::skipped, refresh_outcome::in_doubt}) {
    const std::size_t count = summary.count(outcome);
    if (count == 0) continue;
    out += fmt::format("{}{} {}", separator, count, words_of(outcome));
    separator = ", ";
  }
  return out;
}

exit_code code_of(const refresh_summary& summary) {
  if (summary.cancelled) return exit_code::interrupted;
  tally all;
  for (const refreshed_view& one : summary.views) {
    if (one.outcome == refresh_outcome::done) {
      all.succeeded();
    } else if (one.outcome == refresh_outcome::skipped) {
      all.failed(exit_code::look_at_it);
    } else if (one.failure) {
      all.failed(exit_code_of(one.failure->code()));
    }
  }
  return all.code();
}

// Progress

std::string line_of(const running_view& one) {
  std::string out = fmt::format("  {} {:.0f} s", one.view, seconds(one.elapsed));
  if (one.expected) out += fmt::format(" of about {}", pretty_duration(*one.expected));
  if (one.new_bytes) {
    out += fmt::format(", {} written", pretty_bytes(*one.new_bytes));
    if (one.old_bytes) out += fmt::format(" (it was {})", pretty_bytes(*one.old_bytes));
  }
  if (!one.blocked_by.empty()) {
    out += fmt::format(", waits for {}", fmt::join(one.blocked_by, "; "));
  }
  return out;
}

std::string lines_of(const refresh_progress& now, std::chrono::seconds passed, bool stopping) {
  std::string out = fmt::format("refreshing{}: {} of {} views, {} s", stopping ? ", stopping" : "",
                                now.ended, now.views, passed.count());
  if (now.expected) out += fmt::format(" of about {}", pretty_duration(*now.expected));
  for (const running_view& one : now.running) out += '\n' + line_of(one);
  return out;
}

void tell_failure(const context& with, const refreshed_view& one) {
  if (!one.failure) return;
  const std::string what = one.failure->what();
  const bool named = what.find(one.view) != std::string::npos;
  with.screen.fail(named ? what : fmt::format("{}: {}", one.view, what), one.failure->hint());
}

asio::awaitable<void> refresh_into(const refresh_many_options& options, refresh_summary& into) {
  into = co_await arefresh_many(options);
}

exit_code refresh_now(refresh_many_options options, const context& with) {
  refresh_progress latest;
  options.on_ended = [&](const refreshed_view& one) {
    if (!interrupted()) tell_failure(with, one);
  };
  if (with.screen.interactive()) {
    options.on_progress = [&latest](const refresh_progress& now) { latest = now; };
  }
  const auto lines = [&latest](std::chrono::seconds passed, bool stopping) {
    return lines_of(latest, passed, stopping);
  };
  refresh_summary summary;
  run_interruptibly(with.screen, lines, refresh_into(options, summary));
  table rows = outcome_table();
  for (const refreshed_view& one : summary.views) add_outcome(rows, one);
  write_result(rows.text(with.options.format), work_is_done);
  if (summary.jobs < options.jobs) {
    with.screen.note(
        fmt::format("{} at once: the pool of this database has no more connections "
                    "(pool_size)",
                    summary.jobs));
  }
  if (summary.views.empty()) {
    with.screen.note("no materialized views in this database");
  } else {
    with.screen.note(fmt::format("{}{} in {}", summary.cancelled ? "interrupted; " : "",
                                 counts_of(summary), pretty_duration(summary.duration)));
  }
  return code_of(summary);
}

}  // namespace

void check_selection(const refresh_arguments& given) {
  const view_selection& which = given.which;
  if (!which.all && which.schemas.empty() && which.names.empty()) {
    refuse("a NAME is missing, or --all, or --schema", "see matview refresh --help");
  }
  if (which.all && !which.names.empty()) refuse("--all takes no names", "leave out one of the two");
  if (which.all && !which.schemas.empty()) {
    refuse("--all and --schema exclude each other", "leave out one of the two");
  }
  if (!which.schemas.empty() && !which.names.empty()) {
    refuse("--schema takes no names of views", "leave out one of the two");
  }
  if ((which.with_upstream || which.with_downstream) && which.names.empty()) {
    refuse(fmt::format("{} needs the NAME of a view",
                       which.with_upstream ? "--with-upstream" : "--with-downstream"),
           which.all ? "--all is all of them" : "name the views, without --schema");
  }
  if (given.jobs && *given.jobs < 1) {
    refuse(fmt::format("--jobs {} refreshes nothing", *given.jobs),
           "1 is one after the other, 2 the default");
  }
}

bool needs_graph(const refresh_arguments& given) {
  const view_selection& which = given.which;
  return which.all || !which.schemas.empty() || which.with_upstream || which.with_downstream ||
         given.jobs || given.dry_run;
}

exit_code refresh_in_order(const refresh_arguments& given, const refresh_options& each,
                           const context& with) {
  refresh_many_options options{.database = with.options.database,
                               .which = given.which,
                               .each = each,
                               .log = with.screen.log()};
  if (given.jobs) options.jobs = static_cast<std::size_t>(*given.jobs);
  if (given.dry_run) return show_plan(options, with);
  return refresh_now(std::move(options), with);
}

}  // namespace matview::cli
