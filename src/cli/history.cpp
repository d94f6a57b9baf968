#include "cli/command.hpp"
#include "cli/output.hpp"
#include <matview/error.hpp>
#include <matview/history.hpp>

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace matview::cli {

namespace {

namespace json = boost::json;

struct history_arguments {
  std::string view;
  int limit = 20;
  bool prune = false;
  bool begin = false;
  std::string keep;
};

json::value number_value(const std::optional<std::int64_t>& value) {
  return value ? json::value(*value) : json::value();
}

std::string plain(const std::optional<std::int64_t>& value) {
  return value ? fmt::format("{}", *value) : "";
}

json::object values_of(const refresh_record& one) {
  return {
      {"id", one.id},
      {"schema", one.schema},
      {"name", one.name},
      {"outcome", to_string(one.outcome)},
      {"mode", to_string(one.mode)},
      {"reason", one.reason},
      {"asked_by", to_string(one.asked_by)},
      {"host", text_value(one.host)},
      {"pid", one.pid},
      {"started", rfc3339(one.started)},
      {"finished", rfc3339(one.finished)},
      {"duration_seconds",
       seconds(std::chrono::duration_cast<std::chrono::microseconds>(one.finished - one.started))},
      {"rows_before", number_value(one.rows_before)},
      {"rows_after", number_value(one.rows_after)},
      {"bytes_before", number_value(one.bytes_before)},
      {"bytes_after", number_value(one.bytes_after)},
      {"wal_bytes", number_value(one.wal_bytes)},
      {"lock_waits", one.lock_waits},
      {"care", text_value(one.care)},
      {"sqlstate", text_value(one.sqlstate)},
      {"error", text_value(one.error)}};
}

void add_row(table& to, const refresh_record& one) {
  const auto took =
      std::chrono::duration_cast<std::chrono::microseconds>(one.finished - one.started);
  const bool timed = one.outcome == history_outcome::done;
  const std::string name = one.schema + '.' + one.name;
  const std::string outcome(to_string(one.outcome));
  const std::string mode(to_string(one.mode));
  const std::string origin(to_string(one.asked_by));
  const std::string why = one.error.empty() ? one.reason : one.error;
  to.add({short_rfc3339(std::chrono::floor<std::chrono::seconds>(one.started)), name, outcome, mode,
          timed ? pretty_duration(took) : "", one.rows_after ? pretty_count(*one.rows_after) : "",
          one.bytes_after ? pretty_bytes(*one.bytes_after) : "", origin, why},
         values_of(one),
         {rfc3339(one.started), name, outcome, mode, fmt::format("{:.6f}", seconds(took)),
          plain(one.rows_after), plain(one.bytes_after), origin, why});
}

exit_code show(const history_arguments& given, const context& with) {
  const auto found =
      list_history({.database = with.options.database, .view = given.view, .limit = given.limit});
  table rows({{"STARTED"},
              {"VIEW"},
              {"OUTCOME"},
              {"MODE"},
              {"TIME", true},
              {"ROWS", true},
              {"SIZE", true},
              {"ASKED BY"},
              {"REASON"}});
  for (const refresh_record& one : found) add_row(rows, one);
  write_result(rows.text(with.options.format));
  if (found.empty()) {
    with.screen.note(
        "nothing is remembered; matview refresh and matview history --begin make the "
        "history");
  }
  return exit_code::done;
}

exit_code history(const history_arguments& given, const context& with) {
  const std::string& database = with.options.database;
  if (!given.keep.empty() && !given.prune) {
    throw error(errc::invalid_option, "--keep says what --prune leaves",
                {.hint = "matview history --prune --keep \"90 days\""});
  }
  if (given.begin) {
    keep_history(database);
    with.screen.note("each refresh is remembered in schema matview");
    return exit_code::done;
  }
  if (!given.prune) return show(given, with);
  prune_options options{.database = database};
  if (!given.keep.empty()) options.keep = interval::parse(given.keep);
  const std::int64_t gone = prune_history(options);
  record told;
  told.add("deleted", fmt::format("{}", gone));
  write_result(told.text(with.options.format, {{"deleted", gone}}));
  return exit_code::done;
}

}  // namespace

command add_history(CLI::App& app) {
  const auto given = std::make_shared<history_arguments>();
  CLI::App* parser = app.add_subcommand("history", "Show the refreshes that are remembered");
  parser->add_option("NAME", given->view, "The view; all if none is named")
      ->type_name("")
      ->check(not_empty());
  parser->add_option("--limit", given->limit, "How many, the newest first (default: 20)")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000));
  parser->add_flag("--prune", given->prune,
                   "Delete what is older than --keep, but for the last 20 of each view");
  parser->add_option("--keep", given->keep, "With --prune: what stays (default: 90 days)")
      ->type_name("INTERVAL")
      ->check(not_empty());
  parser->add_flag("--begin", given->begin, "Make the schema matview, so that refreshes are kept");
  return {parser, [given](const context& with) { return history(*given, with); }};
}

}  // namespace matview::cli
