#include "views/refresh.hpp"

#include "pg/transaction.hpp"
#include "store/history.hpp"
#include "views/mode_choice.hpp"
#include "views/operation.hpp"
#include "views/outside.hpp"
#include "views/patience.hpp"
#include "views/session.hpp"
#include "views/statements.hpp"
#include <matview/error.hpp>
#include <matview/history.hpp>
#include <matview/identifier.hpp>
#include <matview/views.hpp>

#include <boost/asio/ip/host_name.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace matview {

namespace views {

namespace {

using clock = std::chrono::steady_clock;

constexpr int keep_days = 90;

struct refresh_request {
  identifier view;
  refresh_options options;
  statement_settings settings;
  int tries = 0;
};

refresh_request checked(std::string_view name, refresh_options options, int tries) {
  identifier view = identifier::parse(name);
  if (options.mode == refresh_mode::none) {
    throw error(errc::invalid_option, "a refresh in mode none does nothing",
                {.hint = "full, concurrently or automatic"});
  }
  statement_settings settings("matview refresh " + view.text(), options.statement_timeout,
                              options.lock_timeout);
  return {std::move(view), std::move(options), std::move(settings), tries};
}

// What the catalog says of the view before its refresh: look_at().
struct appearance {
  std::string schema;
  std::string name;
  std::int64_t oid;
  bool is_matview;
  mode_facts facts;
  std::string xmin;
  bool has_history;
};

std::optional<appearance> seen(const pg::result& row) {
  if (row.rows() == 0) return std::nullopt;
  return appearance{.schema = row.string(0, 0),
                    .name = row.string(0, 1),
                    .oid = row.integer(0, 2),
                    .is_matview = row.text(0, 3) == "m",
                    .facts = {.populated = row.boolean(0, 4),
                              .unique_index = row.boolean(0, 5),
                              .bytes = row.integer(0, 6),
                              .readers = static_cast<int>(row.integer(0, 7)),
                              .scans = row.integer(0, 8)},
                    .xmin = row.string(0, 9),
                    .has_history = row.boolean(0, 10)};
}

asio::awaitable<std::string> who_refreshes(pg::connection& on, const identifier& view) {
  const pg::result found = co_await on.query(refreshing_sessions(view));
  std::vector<std::string> out;
  for (int row = 0; row < found.rows(); ++row) out.push_back(found.string(row, 1));
  co_return out.empty() ? std::string("another session") : fmt::format("{}", fmt::join(out, ", "));
}

refresh_record record_of(const refresh_request& request) {
  boost::system::error_code unknown;
  return {.asked_by = request.options.asked_by,
          .host = asio::ip::host_name(unknown),
          .pid = ::getpid(),
          .lock_waits = request.tries};
}

// One refresh inside its transaction: waits for its turn, looks, decides, acts, records.
class one_refresh final {
 public:
  one_refresh(pg::transaction& in, const refresh_request& request)
      : in_(in), request_(request), options_(request.options) {}

  asio::awaitable<refresh_report> run(std::string preamble) {
    const bool plain = !options_.mode || *options_.mode != refresh_mode::automatic;
    if (plain && options_.if_running == if_running::wait) {
      const chosen_mode chosen = asked_mode();
      co_return co_await act(preamble + wait_for_turn(request_.view) + "; ", chosen);
    }
    std::optional<refresh_report> settled = co_await take_turn(preamble);
    if (settled) co_return std::move(*settled);
    const chosen_mode chosen = co_await decide();
    co_return co_await act("", chosen);
  }

 private:
  chosen_mode asked_mode() const {
    const refresh_mode mode = options_.mode.value_or(
        options_.concurrently ? refresh_mode::concurrently : refresh_mode::full);
    return {mode, mode == refresh_mode::concurrently ? "asked for concurrently"
                                                     : "asked for without concurrently"};
  }

  // Gets the lock, or the report of why not.
  asio::awaitable<std::optional<refresh_report>> take_turn(const std::string& preamble) {
    const auto first = co_await in_.run(preamble + look_at(request_.view) + "; " +
                                        try_turn(request_.view) + "; " + moment());
    looks_ = seen(first.at(first.size() - 3));
    const pg::result& locked = first.at(first.size() - 2);
    const pg::result& now = first.back();
    if (locked.is_null(0, 0) || locked.boolean(0, 0)) co_return std::nullopt;
    if (options_.if_running == if_running::fail) {
      const std::string who = co_await who_refreshes(in_.on(), request_.view);
      throw error(errc::already_refreshing,
                  fmt::format("{} is being refreshed by {}", request_.view.quoted(), who),
                  {.hint = "wait for it, join it, or stop it: --if-running wait|join, refresh "
                           "--cancel"});
    }
    if (options_.if_running == if_running::skip) {
      const std::string who = co_await who_refreshes(in_.on(), request_.view);
      co_return co_await skipped(fmt::format("it is being refreshed by {}", who),
                                 now.integer(0, 0));
    }
    const std::string before = looks_ ? looks_->xmin : std::string();
    const auto second =
        co_await in_.run(wait_for_turn(request_.view) + "; " + look_at(request_.view));
    looks_ = seen(second.back());
    const bool refreshed = looks_ && looks_->xmin != before;
    if (options_.if_running != if_running::join || !refreshed) co_return std::nullopt;
    co_return co_await skipped("another session's refresh was joined, which has just ended",
                               now.integer(0, 0));
  }

  asio::awaitable<chosen_mode> decide() {
    chosen_mode chosen = asked_mode();
    if (chosen.mode != refresh_mode::automatic) co_return chosen;
    if (!looks_ || !looks_->is_matview) {  // The server's refusal says what it is.
      chosen.mode = refresh_mode::full;
      co_return chosen;
    }
    if (looks_->has_history) {
      const store::view_memory known =
          co_await store::recall(in_.on(), looks_->schema, looks_->name);
      if (known.usual_full) {
        looks_->facts.usual_full = std::chrono::duration<double>(*known.usual_full);
      }
    }
    chosen = choose_mode(looks_->facts);
    co_return chosen;
  }

  asio::awaitable<refresh_report> act(std::string before, chosen_mode chosen) {
    const bool concurrently = chosen.mode == refresh_mode::concurrently;
    if (!concurrently) {
      // A caller's own transaction keeps its settings.
      if (!in_.nested() && !options_.lock_timeout) before += give_way() + "; ";
      before += rows_inserted(request_.view) + "; ";
    }
    const auto first = co_await in_.run(before + state(request_.view) + "; " + moment());
    // A message of its own: pg_stat_activity shows where it begins.
    const auto second = co_await in_.run(refresh(request_.view, concurrently) + "; " +
                                         measure(request_.view.quoted()) + "; " + moment());
    const pg::result& state_before = first.at(first.size() - 2);
    const pg::result& began = first.back();
    const pg::result& after = second.at(1);
    const pg::result& ended = second.back();
    refresh_report report = measured(after, chosen.mode, chosen.reason);
    report.lock_waits = request_.tries;
    if (options_.count_rows) {
      if (!concurrently && !after.is_null(0, 3)) {
        report.rows = after.integer(0, 3) - first.at(first.size() - 3).integer(0, 0);
      } else if (after.boolean(0, 4)) {  // MAINTAIN is a right to refresh, not to read.
        const auto scan = co_await in_.run(count_rows(request_.view.quoted()));
        report.rows = scan.back().integer(0, 0);
      }
    }
    if (ended.boolean(0, 2)) {
      refresh_record row = record_of(request_);
      row.schema = after.string(0, 0);
      row.name = after.string(0, 1);
      row.oid = after.integer(0, 5);
      row.mode = report.mode;
      row.reason = report.reason;
      row.started = time_of(began.integer(0, 0));
      row.rows_after = report.rows;
      row.bytes_after = report.bytes;
      if (!began.is_null(0, 1)) row.wal_bytes = ended.integer(0, 1) - began.integer(0, 1);
      co_await remember(std::move(row), state_before.string(0, 0));
    }
    co_return report;
  }

  // What others have done since the last one comes before it.
  asio::awaitable<void> remember(refresh_record row, std::string state_before) {
    const store::view_memory known =
        co_await store::recall(in_.on(), std::string(row.schema), std::string(row.name));
    const std::optional<outside_change> outside = seen_outside(known.state, state_before);
    if (outside && outside->refreshed) {
      refresh_record theirs{.schema = row.schema,
                            .name = row.name,
                            .oid = row.oid,
                            .mode = outside->mode,
                            .reason = outside->reason,
                            .outcome = history_outcome::outside,
                            .asked_by = refresh_origin::somebody_else,
                            .started = row.started - std::chrono::microseconds(1)};
      co_await store::record(in_.on(), std::move(theirs), keep_days);
    }
    co_await store::record(in_.on(), std::move(row), keep_days);
  }

  asio::awaitable<refresh_report> skipped(std::string reason, std::int64_t began) {
    refresh_report report;
    report.reason = reason;
    if (!looks_) co_return report;
    report.view = fmt::format("{}.{}", looks_->schema, looks_->name);
    report.lock_waits = request_.tries;
    if (!looks_->has_history) co_return report;
    refresh_record row = record_of(request_);
    row.schema = looks_->schema;
    row.name = looks_->name;
    row.oid = looks_->oid;
    row.reason = std::move(reason);
    row.outcome = history_outcome::skipped;
    row.started = time_of(began);
    co_await store::record(in_.on(), std::move(row), keep_days);
    co_return report;
  }

  static refresh_record::time_point time_of(std::int64_t microseconds) {
    return refresh_record::time_point(std::chrono::microseconds(microseconds));
  }

  pg::transaction& in_;
  const refresh_request& request_;
  const refresh_options& options_;
  std::optional<appearance> looks_;
};

asio::awaitable<refresh_report> refresh_once(pg::connection& on, const refresh_request& request) {
  const stopwatch watch;
  const bool concurrently =
      request.options.mode.value_or(refresh_mode::full) == refresh_mode::concurrently ||
      (!request.options.mode && request.options.concurrently);
  const attempt tried{concurrently ? attempt::kind::refresh_concurrently : attempt::kind::refresh,
                      request.view, request.settings, watch.began()};
  const auto work = [&](pg::transaction& in,
                        const std::string& preamble) -> asio::awaitable<refresh_report> {
    one_refresh refresh(in, request);
    co_return co_await refresh.run(preamble);
  };
  refresh_report report = co_await attempted(on, tried, work);
  co_return watch.finished(std::move(report));
}

}  // namespace

asio::awaitable<refresh_report> refresh_on(pg::connection& on, std::string name,
                                           refresh_options options, int tries) {
  const refresh_request request = checked(name, std::move(options), tries);
  co_return co_await refresh_once(on, request);
}

asio::awaitable<void> record_failure(pg::connection& on, std::string name, refresh_options options,
                                     error failed, int tries) {
  const refresh_request request = checked(name, std::move(options), tries);
  if (!on.usable() || on.transaction_status() != PQTRANS_IDLE) co_return;
  try {
    const pg::result there = co_await on.query(look_at(request.view));
    const std::optional<appearance> looks = seen(there);
    if (!looks || !looks->is_matview || !looks->has_history) co_return;
    refresh_record row = record_of(request);
    row.schema = looks->schema;
    row.name = looks->name;
    row.oid = looks->oid;
    row.reason = "it failed";
    row.outcome = failed.may_have_happened() ? history_outcome::in_doubt : history_outcome::failed;
    row.started = std::chrono::system_clock::now();
    row.sqlstate = failed.sqlstate();
    row.error = failed.what();
    co_await store::record(on, std::move(row), keep_days);
  } catch (const error& untold) {
    if (on.log()) on.log()(log_level::warning, std::string("not in the history: ") + untold.what());
  }
}

namespace {

// What is left of max_duration bounds each statement, too.
refresh_options within(refresh_options options, clock::time_point until) {
  if (!options.max_duration) return options;
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - clock::now());
  const interval rest =
      interval::parse(fmt::format("{} milliseconds", std::max<std::int64_t>(left.count(), 1)));
  if (!options.statement_timeout || *options.statement_timeout > rest ||
      options.statement_timeout->to_duration().count() == 0) {
    options.statement_timeout = rest;
  }
  return options;
}

asio::awaitable<refresh_report> refresh_patiently(pg::connection& on, const std::string& name,
                                                  const refresh_options& options) {
  const auto began = clock::now();
  const bool patient = !options.lock_timeout && on.transaction_status() == PQTRANS_IDLE;
  clock::time_point until = patient ? began + all_waits : began;
  if (options.max_duration) {
    until = std::min(until, began + std::chrono::duration_cast<clock::duration>(
                                        options.max_duration->to_duration()));
  }
  int last_try = 0;
  const auto once = [&](int tries) -> asio::awaitable<refresh_report> {
    last_try = tries;
    refresh_options now = within(options, until);
    return refresh_on(on, name, std::move(now), tries);
  };
  std::optional<error> failure;
  try {
    co_return co_await patiently(until, once);
  } catch (const error& failed) {
    failure = failed;
  }
  co_await record_failure(on, name, options, *failure, last_try);
  throw error(*failure);
}

asio::awaitable<refresh_report> refresh_anywhere(std::optional<PGconn*> borrowed, std::string name,
                                                 refresh_options options) {
  static_cast<void>(checked(name, options, 0));  // Before any connection is made.
  session where{borrowed, options.database, options.log};
  const auto work = [&](pg::connection& on) { return refresh_patiently(on, name, options); };
  co_return co_await on_session(std::move(where), work);
}

}  // namespace

}  // namespace views

asio::awaitable<refresh_report> arefresh_matview(std::string_view name, refresh_options options) {
  return views::isolated(
      views::refresh_anywhere(std::nullopt, std::string(name), std::move(options)));
}

asio::awaitable<refresh_report> arefresh_matview(PGconn* connection, std::string_view name,
                                                 refresh_options options) {
  return views::isolated(
      views::refresh_anywhere(connection, std::string(name), std::move(options)));
}

refresh_report refresh_matview(std::string_view name, const refresh_options& options) {
  return pg::run_sync(arefresh_matview(name, options));
}

refresh_report refresh_matview(PGconn* connection, std::string_view name,
                               const refresh_options& options) {
  return pg::run_sync(arefresh_matview(connection, name, options));
}

}  // namespace matview
