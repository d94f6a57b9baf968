#include "cli/report_table.hpp"

#include <boost/json/object.hpp>
#include <fmt/format.h>

#include <string>

namespace matview::cli {

namespace json = boost::json;

table report_table() {
  return table({{"VIEW"}, {"MODE"}, {"ROWS", true}, {"SIZE", true}, {"TIME", true}, {"REASON"}});
}

void add_report(table& to, const refresh_report& report) {
  const std::string mode(to_string(report.mode));
  json::object values{{"view", report.view},
                      {"mode", mode},
                      {"reason", report.reason},
                      {"started", rfc3339(report.started)},
                      {"duration_seconds", seconds(report.duration)},
                      {"rows", nullptr},
                      {"bytes", report.bytes},
                      {"lock_waits", report.lock_waits},
                      {"care", report.care}};
  if (report.rows) values["rows"] = *report.rows;
  to.add({report.view, mode, report.rows ? pretty_count(*report.rows) : "",
          pretty_bytes(report.bytes), pretty_duration(report.duration), report.reason},
         std::move(values),
         {report.view, mode, report.rows ? fmt::format("{}", *report.rows) : "",
          fmt::format("{}", report.bytes), fmt::format("{:.6f}", seconds(report.duration)),
          report.reason});
}

void add_failure(table& to, std::string_view view, const error& failed) {
  to.add_for_programs({{"view", view},
                       {"error",
                        {{"code", to_string(failed.code())},
                         {"sqlstate", failed.sqlstate()},
                         {"message", failed.what()},
                         {"hint", failed.hint()}}}});
}

}  // namespace matview::cli
