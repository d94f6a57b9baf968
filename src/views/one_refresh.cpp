#include "views/one_refresh.hpp"

#include "store/incremental.hpp"
#include "store/sources.hpp"
#include "views/operation.hpp"
#include "views/outside.hpp"
#include "views/source_changes.hpp"
#include <matview/error.hpp>

#include <boost/asio/ip/host_name.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

namespace matview::views {

namespace {

constexpr int keep_days = 90;

refresh_record::time_point time_of(std::int64_t microseconds) {
  return refresh_record::time_point(std::chrono::microseconds(microseconds));
}

// `12 s`, `3 min`, `5 h`, `2 days`: roughly.
std::string shown_age(std::int64_t microseconds) {
  const auto seconds = static_cast<double>(microseconds) / 1e6;
  if (seconds < 120) return fmt::format("{:.0f} s", seconds);
  if (seconds < 7'200) return fmt::format("{:.0f} min", seconds / 60);
  if (seconds < 172'800) return fmt::format("{:.0f} h", seconds / 3'600);
  return fmt::format("{:.0f} days", seconds / 86'400);
}

asio::awaitable<std::string> who_refreshes(pg::connection& on, const identifier& view) {
  const pg::result found = co_await on.query(refreshing_sessions(view));
  std::vector<std::string> out;
  out.reserve(static_cast<std::size_t>(found.rows()));
  for (int row = 0; row < found.rows(); ++row) out.push_back(found.string(row, 1));
  co_return out.empty() ? std::string("another session") : fmt::format("{}", fmt::join(out, ", "));
}

bool is_of_incremental_views(refresh_mode mode) {
  return mode == refresh_mode::incremental || mode == refresh_mode::diff ||
         mode == refresh_mode::swap;
}

}  // namespace

error still_changing(const recompile_needed& again) {
  return {errc::server_error,
          "the tables of the view are being changed: " + again.reason,
          {.sqlstate = "40001", .hint = "try again"}};
}

std::optional<appearance> seen(const pg::result& answer) {
  if (answer.rows() == 0) return std::nullopt;
  return appearance{.schema = answer.string(0, 0),
                    .name = answer.string(0, 1),
                    .oid = answer.integer(0, 2),
                    .is_matview = answer.text(0, 3) == "m" || answer.boolean(0, 12),
                    .facts = {.populated = answer.boolean(0, 4),
                              .unique_index = answer.boolean(0, 5),
                              .bytes = answer.integer(0, 6),
                              .readers = static_cast<int>(answer.integer(0, 7)),
                              .scans = answer.integer(0, 8)},
                    .xmin = answer.string(0, 9),
                    .has_history = answer.boolean(0, 10),
                    .incremental = answer.boolean(0, 12),
                    .bytes = answer.is_null(0, 11) ? 0 : answer.integer(0, 11)};
}

refresh_record record_of(const refresh_request& request) {
  boost::system::error_code unknown;
  return {.asked_by = request.options.asked_by,
          .host = asio::ip::host_name(unknown),
          .pid = ::getpid(),
          .lock_waits = request.tries};
}

chosen_mode asked_mode(const refresh_options& options) {
  const refresh_mode mode =
      options.mode.value_or(options.concurrently ? refresh_mode::concurrently : refresh_mode::full);
  return {mode, mode == refresh_mode::concurrently ? "asked for concurrently"
                                                   : "asked for without concurrently"};
}

asio::awaitable<chosen_mode> mode_now(pg::connection& on, appearance looks) {
  if (looks.has_history) {
    const store::view_memory known =
        co_await store::recall(on, std::string(looks.schema), std::string(looks.name));
    if (known.usual_full) looks.facts.usual_full = std::chrono::duration<double>(*known.usual_full);
  }
  co_return choose_mode(looks.facts);
}

one_refresh::one_refresh(pg::transaction& in, const refresh_request& request)
    : in_(in), request_(request), options_(request.options) {}

asio::awaitable<refresh_report> one_refresh::run(std::string preamble) {
  if (!in_.nested()) preamble = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; " + preamble;
  if (!asks_first()) {
    const chosen_mode chosen = asked_mode(options_);
    co_return co_await act(preamble + wait_for_turn(request_.view) + "; ", chosen);
  }
  const auto first = co_await in_.run(preamble + look_at(request_.view) + "; " + moment());
  looks_ = seen(first.at(first.size() - 2));
  asked_at_ = first.back().integer(0, 0);
  if (looks_ && looks_->is_matview) {  // Else the server's refusal says what it is.
    std::optional<refresh_report> settled = co_await fresh_already(false);
    if (!settled) settled = co_await take_turn();
    if (!settled) settled = co_await unchanged();
    if (settled) co_return std::move(*settled);
  }
  chosen_mode chosen{refresh_mode::automatic, {}};
  if (!looks_ || !looks_->incremental) chosen = co_await choose();
  co_return co_await act("", chosen);
}

bool one_refresh::asks_first() const {
  return options_.mode == refresh_mode::automatic || options_.if_running != if_running::wait ||
         options_.if_changed || options_.max_age;
}

void one_refresh::need_history(std::string_view option) const {
  if (looks_->has_history) return;
  throw error(errc::permission_denied,
              fmt::format("{} goes by the history of refreshes, which cannot be kept here", option),
              {.hint = "matview history --begin makes the schema matview; it needs CREATE on the "
                       "database, and others then USAGE on the schema and rights to its tables"});
}

asio::awaitable<std::optional<refresh_report>> one_refresh::fresh_already(bool joined) {
  if (!options_.max_age) co_return std::nullopt;
  need_history("max_age");
  const store::view_memory known =
      co_await store::recall(in_.on(), std::string(looks_->schema), std::string(looks_->name));
  const std::int64_t oldest = asked_at_ - options_.max_age->to_duration().count();
  const bool same_view = known.oid == looks_->oid && looks_->facts.populated;
  if (!same_view || !known.data_as_of || *known.data_as_of < oldest) co_return std::nullopt;
  const std::int64_t age = std::max<std::int64_t>(0, asked_at_ - *known.data_as_of);
  const std::string reason =
      joined ? std::string("another session's refresh was joined, which began late enough")
             : fmt::format("its data is {} old, and may be {}", shown_age(age),
                           options_.max_age->text());
  co_return co_await skipped(reason, joined);
}

// Gets the lock, or the report of why it need not.
asio::awaitable<std::optional<refresh_report>> one_refresh::take_turn() {
  const auto tried = co_await in_.run(try_turn(request_.view));
  const pg::result& locked = tried.back();
  if (locked.is_null(0, 0) || locked.boolean(0, 0)) co_return std::nullopt;
  if (options_.if_running == if_running::fail) {
    const std::string who = co_await who_refreshes(in_.on(), request_.view);
    throw error(errc::already_refreshing,
                fmt::format("{} is being refreshed by {}", request_.view.quoted(), who),
                {.hint = "wait for it or join it (--if-running wait|join), or stop it (refresh "
                         "--cancel)"});
  }
  if (options_.if_running == if_running::skip) {
    const std::string who = co_await who_refreshes(in_.on(), request_.view);
    co_return co_await skipped(fmt::format("it is being refreshed by {}", who), true);
  }
  const std::string before = looks_->xmin;
  const auto waited =
      co_await in_.run(wait_for_turn(request_.view) + "; " + look_at(request_.view));
  looks_ = seen(waited.back());
  if (!looks_ || !looks_->is_matview) co_return std::nullopt;
  if (options_.max_age) co_return co_await fresh_already(true);
  if (options_.if_running != if_running::join || looks_->xmin == before) co_return std::nullopt;
  co_return co_await skipped("another session's refresh was joined, which has just ended", true);
}

asio::awaitable<std::optional<refresh_report>> one_refresh::unchanged() {
  // An incremental view's own refresh sees it, and better.
  if (!options_.if_changed || !looks_ || !looks_->is_matview || looks_->incremental) {
    co_return std::nullopt;
  }
  need_history("if_changed");
  if (!looks_->facts.populated) co_return std::nullopt;
  const store::view_memory known =
      co_await store::recall(in_.on(), std::string(looks_->schema), std::string(looks_->name));
  if (known.oid != looks_->oid || !known.data_as_of) co_return std::nullopt;
  const std::int64_t age = asked_at_ - *known.data_as_of;
  if (options_.at_least_every && age > options_.at_least_every->to_duration().count()) {
    co_return std::nullopt;
  }
  // Somebody else's refresh may have used an older snapshot, or other settings.
  const std::optional<outside_change> outside = seen_outside(known.state, known.now);
  if (outside && outside->refreshed) co_return std::nullopt;
  const std::vector<std::int64_t> oids(1, looks_->oid);
  const auto now = co_await store::read_sources(in_.on(), oids);
  const source_verdict verdict = compare_sources(known.sources, now.at(0));
  if (!verdict.unchanged) co_return std::nullopt;
  co_await store::note_checked(in_.on(), std::string(looks_->schema), std::string(looks_->name));
  co_return co_await skipped(
      fmt::format("{} since its last refresh, {} ago", verdict.reason, shown_age(age)), true);
}

asio::awaitable<chosen_mode> one_refresh::choose() {
  chosen_mode chosen = asked_mode(options_);
  if (chosen.mode != refresh_mode::automatic) co_return chosen;
  if (!looks_ || !looks_->is_matview) {
    chosen.mode = refresh_mode::full;
    co_return chosen;
  }
  appearance looks = *looks_;
  co_return co_await mode_now(in_.on(), std::move(looks));
}

asio::awaitable<refresh_report> one_refresh::act(std::string before, chosen_mode chosen) {
  const bool concurrently = chosen.mode == refresh_mode::concurrently;
  // A caller's own transaction keeps its settings.
  if (!concurrently && !in_.nested() && !options_.lock_timeout) before += give_way() + "; ";
  auto first =
      co_await in_.run(before + known_rows(request_.view) + "; " + rows_inserted(request_.view) +
                       "; " + state(request_.view) + "; " + moment());
  const pg::result& known = first.at(first.size() - 4);
  if (known.rows() > 0 && known.boolean(0, 2)) {
    std::vector<pg::result> read = std::move(first);
    co_return co_await apply(std::move(read));
  }
  const bool native = known.rows() > 0 && known.boolean(0, 3);  // Else the server says what it is.
  if (native && is_of_incremental_views(chosen.mode)) {
    throw error(errc::invalid_option,
                fmt::format("{} is a native materialized view, which PostgreSQL only computes anew",
                            request_.view.quoted()),
                {.hint = "matview convert NAME --to incremental makes it one that can be"});
  }
  const pg::result& inserted = first.at(first.size() - 3);
  const pg::result& state_before = first.at(first.size() - 2);
  const pg::result& began = first.back();
  const bool recorded = began.boolean(0, 2) && known.rows() > 0;
  std::string sources;  // Before the refresh: what is committed meanwhile must count as a change.
  if (recorded) {
    const std::vector<std::int64_t> oids(1, known.integer(0, 0));
    const auto read = co_await store::read_sources(in_.on(), oids);
    sources = store::to_json(read.at(0));
  }
  // A message of its own: pg_stat_activity shows where it begins.
  const auto second = co_await in_.run(refresh(request_.view, concurrently) + "; " +
                                       measure(request_.view.quoted()) + "; " + moment());
  const pg::result& after = second.at(1);
  const pg::result& ended = second.back();
  refresh_report report = measured(after, chosen.mode, chosen.reason);
  report.lock_waits = request_.tries;
  if (known.rows() > 0 && !known.is_null(0, 1)) report.rows_before = known.integer(0, 1);
  if (options_.count_rows) {
    if (!concurrently && !after.is_null(0, 3)) {
      report.rows = after.integer(0, 3) - inserted.integer(0, 0);
    } else if (after.boolean(0, 4)) {  // MAINTAIN is a right to refresh, not to read.
      const auto scan = co_await in_.run(count_rows(request_.view.quoted()));
      report.rows = scan.back().integer(0, 0);
    }
  }
  if (recorded) {
    refresh_record row = record_of(request_);
    row.schema = after.string(0, 0);
    row.name = after.string(0, 1);
    row.oid = known.integer(0, 0);
    row.mode = report.mode;
    row.reason = report.reason;
    row.started = time_of(began.integer(0, 0));
    row.rows_after = report.rows;
    row.bytes_after = report.bytes;
    if (!began.is_null(0, 1)) row.wal_bytes = ended.integer(0, 1) - began.integer(0, 1);
    co_await remember(std::move(row), state_before.string(0, 0), std::move(sources));
  }
  co_return report;
}

namespace {

std::string wish_of(const refresh_options& options) {
  switch (options.mode.value_or(refresh_mode::automatic)) {
    case refresh_mode::full:
      return "full";
    case refresh_mode::incremental:
      return "incremental";
    case refresh_mode::diff:
      return "diff";
    case refresh_mode::swap:
      return "swap";
    default:
      return "auto";
  }
}

}  // namespace

refresh_mode mode_named(std::string_view name) noexcept {
  if (name == "incremental") return refresh_mode::incremental;
  if (name == "full") return refresh_mode::full;
  if (name == "diff") return refresh_mode::diff;
  return name == "swap" ? refresh_mode::swap : refresh_mode::none;
}

// An incremental view: the database does it, and one_refresh keeps the history. `first` is what
// act() has read.
asio::awaitable<refresh_report> one_refresh::apply(std::vector<pg::result> first) {
  const pg::result& known = first.at(first.size() - 4);
  const pg::result& began = first.back();
  const std::string quoted = request_.view.quoted();
  const store::incremental_refresh done =
      co_await store::run_refresh(in_.on(), std::string(quoted), wish_of(options_));
  if (done.mode == "recompile") throw recompile_needed{done.reason};
  const auto ended = co_await in_.run(look_at(request_.view) + "; " + moment());
  const std::optional<appearance> now = seen(ended.at(ended.size() - 2));
  if (!now) throw error(errc::server_error, "the view vanished inside its own transaction");
  refresh_report report;
  report.view = fmt::format("{}.{}", now->schema, now->name);
  report.mode = mode_named(done.mode);
  report.reason = done.reason;
  if (!request_.because.empty()) {
    // It was made anew, and filled, a moment ago.
    report.mode = refresh_mode::full;
    report.reason = request_.because;
  }
  report.incremental = true;
  report.bytes = now->bytes;
  report.lock_waits = request_.tries;
  if (!began.boolean(0, 2)) co_return report;
  refresh_record row = record_of(request_);
  row.schema = now->schema;
  row.name = now->name;
  row.oid = known.integer(0, 0);
  row.mode = report.mode;
  row.reason = report.reason;
  row.started = time_of(began.integer(0, 0));
  row.bytes_after = report.bytes;
  if (!began.is_null(0, 1)) row.wal_bytes = ended.back().integer(0, 1) - began.integer(0, 1);
  if (report.mode == refresh_mode::none) row.outcome = history_outcome::skipped;
  co_await store::remember(in_.on(), row, std::string());
  co_await store::record(in_.on(), std::move(row), keep_days);
  co_return report;
}

// What others have done since the last one comes before it.
asio::awaitable<void> one_refresh::remember(refresh_record row, std::string state_before,
                                            std::string sources) {
  const store::view_memory known =
      co_await store::recall(in_.on(), std::string(row.schema), std::string(row.name));
  const std::optional<outside_change> outside = seen_outside(known.state, state_before);
  if (known.oid == row.oid && outside && outside->refreshed) {
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
  co_await store::remember(in_.on(), row, std::move(sources));
  co_await store::record(in_.on(), std::move(row), keep_days);
}

asio::awaitable<refresh_report> one_refresh::skipped(std::string reason, bool recorded) {
  refresh_report report;
  report.view = fmt::format("{}.{}", looks_->schema, looks_->name);
  report.reason = reason;
  report.lock_waits = request_.tries;
  report.bytes = looks_->bytes;
  if (!recorded || !looks_->has_history) co_return report;
  refresh_record row = record_of(request_);
  row.schema = looks_->schema;
  row.name = looks_->name;
  row.oid = looks_->oid;
  row.reason = std::move(reason);
  row.outcome = history_outcome::skipped;
  row.started = time_of(asked_at_);
  co_await store::record(in_.on(), std::move(row), keep_days);
  co_return report;
}

}  // namespace matview::views
