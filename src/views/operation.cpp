#include "views/operation.hpp"

#include "text/quote.hpp"
#include <matview/history.hpp>

#include <fmt/format.h>

namespace matview {

std::string_view to_string(refresh_mode mode) noexcept {
  switch (mode) {
    case refresh_mode::none:
      return "none";
    case refresh_mode::full:
      return "full";
    case refresh_mode::concurrently:
      return "concurrently";
    case refresh_mode::automatic:
      return "auto";
    case refresh_mode::incremental:
      return "incremental";
    case refresh_mode::diff:
      return "diff";
    case refresh_mode::swap:
      return "swap";
  }
  return "none";
}

std::string_view to_string(refresh_origin origin) noexcept {
  switch (origin) {
    case refresh_origin::hand:
      return "hand";
    case refresh_origin::schedule:
      return "schedule";
    case refresh_origin::api:
      return "api";
    case refresh_origin::somebody_else:
      return "somebody else";
  }
  return "api";
}

std::string_view to_string(history_outcome outcome) noexcept {
  switch (outcome) {
    case history_outcome::done:
      return "done";
    case history_outcome::skipped:
      return "skipped";
    case history_outcome::failed:
      return "failed";
    case history_outcome::in_doubt:
      return "in doubt";
    case history_outcome::outside:
      return "outside";
  }
  return "done";
}

namespace views {

refresh_report stopwatch::finished(refresh_report report) const {
  report.started = started_;
  report.duration = std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - began_);
  return report;
}

refresh_report measured(const pg::result& row, refresh_mode mode, std::string reason) {
  if (row.rows() == 0 || row.is_null(0, 0)) {
    throw error(errc::server_error, "the view vanished inside its own transaction");
  }
  refresh_report report;
  report.view = fmt::format("{}.{}", row.text(0, 0), row.text(0, 1));
  report.mode = mode;
  report.reason = std::move(reason);
  report.bytes = row.integer(0, 2);
  return report;
}

asio::awaitable<std::string> restoring(pg::transaction& in, const statement_settings& settings) {
  std::string out;
  if (!in.nested()) co_return out;
  for (const auto& [name, changed] :
       {std::pair{"statement_timeout", settings.statement_timeout().has_value()},
        std::pair{"lock_timeout", settings.lock_timeout().has_value()}}) {
    if (!changed) continue;
    const auto now = co_await in.run(fmt::format("SHOW {}", name));
    out += fmt::format("SET LOCAL {} = {}; ", name, text::sql_literal(now.at(0).text(0, 0)));
  }
  co_return out;
}

}  // namespace views

}  // namespace matview
