#include "views/refresh.hpp"

#include "pg/transaction.hpp"
#include "store/catalog.hpp"
#include "store/history.hpp"
#include "store/incremental.hpp"
#include "store/migrations.hpp"
#include "views/after_care.hpp"
#include "views/incremental_parts.hpp"
#include "views/incremental_session.hpp"
#include "views/one_refresh.hpp"
#include "views/operation.hpp"
#include "views/patience.hpp"
#include "views/session.hpp"
#include "views/statements.hpp"
#include <matview/error.hpp>
#include <matview/history.hpp>
#include <matview/identifier.hpp>
#include <matview/views.hpp>

#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>

namespace matview {

namespace views {

namespace {

using clock = std::chrono::steady_clock;

refresh_request checked(std::string_view name, refresh_options options, int tries) {
  identifier view = identifier::parse(name);
  if (options.mode == refresh_mode::none) {
    throw error(errc::invalid_option, "a refresh in mode none does nothing",
                {.hint = "full, concurrently or automatic"});
  }
  if (options.at_least_every && !options.if_changed) {
    throw error(errc::invalid_option,
                "at_least_every is for a refresh that is left out if nothing "
                "has changed",
                {.hint = "set if_changed, too"});
  }
  statement_settings settings("matview refresh " + view.text(), options.statement_timeout,
                              options.lock_timeout);
  return {std::move(view), std::move(options), std::move(settings), tries, {}};
}

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

asio::awaitable<void> care_after(pg::connection& on, std::string name,
                                 const refresh_options& options, refresh_report& report) {
  if (report.mode == refresh_mode::none || on.transaction_status() != PQTRANS_IDLE) co_return;
  if (report.incremental) {
    co_await prune_quietly(on);
    co_return;
  }
  if (!options.care) co_return;
  try {
    const std::string quoted = identifier::parse(name).quoted();
    const care_options wanted = *options.care;
    const care_report done =
        co_await care_for(on, quoted, report.mode, report.rows_before, report.rows, wanted);
    report.care = done.text();
    const pg::result there = co_await on.query(moment());
    const bool recorded = there.boolean(0, 2);
    if (recorded) co_await store::note_care(on, std::string(report.view), std::string(report.care));
  } catch (const error& failed) {
    report.care = fmt::format("not done: {}", failed.what());
  }
}

asio::awaitable<void> record_failure(pg::connection& on, std::string name, refresh_options options,
                                     error failed, int tries,
                                     std::chrono::steady_clock::time_point began) {
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
    const pg::result now = co_await on.query(moment());
    row.started = refresh_record::time_point(
        std::chrono::microseconds(now.integer(0, 0)) -
        std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - began));
    row.sqlstate = failed.sqlstate();
    row.error = failed.what();
    co_await store::record(on, std::move(row), 0);
  } catch (const error& untold) {
    if (on.log()) on.log()(log_level::warning, std::string("not in the history: ") + untold.what());
  }
}

asio::awaitable<refresh_mode> make_ready(pg::connection& on, std::string name,
                                         refresh_options options, int tries) {
  // Without a search_path, so by its full name.
  const identifier view = identifier::parse(name);
  const std::optional<store::relation> there = co_await store::find_relation(on, view);
  if (!there) throw error(store::no_such_view(view, there));
  const statement_settings settings("matview recompile", options.statement_timeout,
                                    options.lock_timeout);
  std::string preamble = settings.set_local(false);
  if (!options.lock_timeout) preamble += give_way(tries) + "; ";
  const bool filled = co_await recompile(on, std::string(there->quoted), std::move(preamble));
  co_return filled ? refresh_mode::automatic : refresh_mode::full;
}

namespace {

// What is left of max_duration bounds each statement, too.
refresh_options within(refresh_options options, clock::time_point deadline) {
  if (!options.max_duration) return options;
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - clock::now());
  const interval rest =
      interval::parse(fmt::format("{} milliseconds", std::max<std::int64_t>(left.count(), 1)));
  if (!options.statement_timeout || *options.statement_timeout > rest ||
      options.statement_timeout->to_duration().count() == 0) {
    options.statement_timeout = rest;
  }
  return options;
}

// An incremental view whose tables were changed gets another program, and is filled by it.
asio::awaitable<refresh_report> refresh_recompiling(pg::connection& on, std::string name,
                                                    refresh_options options, int tries) {
  std::string why;
  try {
    co_return co_await refresh_on(on, name, options, tries);
  } catch (const recompile_needed& needed) {
    why = needed.reason;
  }
  if (on.transaction_status() != PQTRANS_IDLE) {
    throw error(errc::server_error, "the view has to be made ready again: " + why,
                {.hint = "refresh it outside of a transaction once"});
  }
  options.mode = co_await make_ready(on, name, options, tries);
  refresh_request request = checked(name, std::move(options), tries);
  request.because = why;
  std::optional<recompile_needed> again;
  try {
    co_return co_await refresh_once(on, request);
  } catch (const recompile_needed& needed) {
    again = needed;
  }
  throw error(still_changing(*again));
}

asio::awaitable<refresh_report> refresh_patiently(pg::connection& on, const std::string& name,
                                                  const refresh_options& options) {
  const auto began = clock::now();
  const bool patient = !options.lock_timeout && on.transaction_status() == PQTRANS_IDLE;
  clock::time_point deadline = clock::time_point::max();
  if (options.max_duration) {
    // The server's own longest statement_timeout; more is no limit to anybody.
    const std::chrono::microseconds longest = std::chrono::hours(24 * 24);
    deadline = began + std::chrono::duration_cast<clock::duration>(
                           std::min(options.max_duration->to_duration(), longest));
  }
  const clock::time_point until = std::min(last_try(patient, began), deadline);
  int tried = 0;
  const auto once = [&](int tries) -> asio::awaitable<refresh_report> {
    tried = tries;
    refresh_options now = within(options, deadline);
    return refresh_recompiling(on, name, std::move(now), tries);
  };
  std::optional<error> failure;
  try {
    refresh_report report = co_await patiently(until, once);
    co_await care_after(on, name, options, report);
    co_return report;
  } catch (const error& failed) {
    failure = failed;
  }
  co_await record_failure(on, name, options, *failure, tried, began);
  throw error(*failure);
}

// A role that may only refresh refreshes without.
asio::awaitable<void> begin_history(pg::connection& on) {
  std::optional<error> failure;
  try {
    co_await store::migrate(on);
    co_return;
  } catch (const error& failed) {
    failure = failed;
  }
  if (!failure->connection_usable() || failure->code() == errc::cancelled) throw error(*failure);
  if (on.log()) on.log()(log_level::debug, std::string("no history: ") + failure->what());
}

asio::awaitable<refresh_report> refresh_anywhere(std::optional<PGconn*> borrowed, std::string name,
                                                 refresh_options options) {
  static_cast<void>(checked(name, options, 0));  // Before any connection is made.
  session where{borrowed, options.database, options.log};
  const auto work = [&](pg::connection& on) -> asio::awaitable<refresh_report> {
    // The first need of the history makes it; a caller's own transaction is left alone.
    const bool needs_history = options.if_changed || options.max_age;
    if (needs_history && !borrowed) co_await store::migrate(on);
    if (!needs_history && options.make_history && !borrowed) co_await begin_history(on);
    co_return co_await refresh_patiently(on, name, options);
  };
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

asio::awaitable<refresh_report> aensure_fresh(std::string_view view, interval max_age,
                                              refresh_options options) {
  options.max_age = std::move(max_age);
  return arefresh_matview(view, std::move(options));
}

refresh_report ensure_fresh(std::string_view view, const interval& max_age,
                            const refresh_options& options) {
  return pg::run_sync(aensure_fresh(view, max_age, options));
}

refresh_report refresh_matview(std::string_view name, const refresh_options& options) {
  return pg::run_sync(arefresh_matview(name, options));
}

refresh_report refresh_matview(PGconn* connection, std::string_view name,
                               const refresh_options& options) {
  return pg::run_sync(arefresh_matview(connection, name, options));
}

}  // namespace matview
