#include "pg/transaction.hpp"
#include "store/history.hpp"
#include "store/incremental.hpp"
#include "views/incremental_parts.hpp"
#include "views/incremental_session.hpp"
#include "views/one_refresh.hpp"
#include "views/operation.hpp"
#include "views/patience.hpp"
#include "views/refresh.hpp"
#include "views/session.hpp"
#include <matview/identifier.hpp>
#include <matview/incremental.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace matview {

namespace views {

namespace {

constexpr int tries = 5;

// Each after those whose storage it reads. What is made from each other in a circle cannot be.
std::vector<incremental_names> in_order(std::vector<incremental_names> views) {
  std::vector<incremental_names> out;
  std::set<std::string> left;
  for (const incremental_names& one : views) left.insert(fmt::format("matview.storage_{}", one.id));
  while (!views.empty()) {
    const auto next = std::find_if(views.begin(), views.end(), [&](const incremental_names& one) {
      return std::none_of(one.bases.begin(), one.bases.end(),
                          [&](const std::string& base) { return left.contains(base); });
    });
    if (next == views.end()) throw error(errc::invalid_option, "the views depend on each other");
    left.erase(fmt::format("matview.storage_{}", next->id));
    out.push_back(std::move(*next));
    views.erase(next);
  }
  return out;
}

// A program that does not fit any more.
struct outdated {
  std::string view;
  std::string reason;
};

// Why views were filled on the way, by the name that SQL takes.
using reasons = std::map<std::string, std::string>;

asio::awaitable<void> note(pg::connection& on, const incremental_names& view,
                           const refresh_options& options, const refresh_report& report,
                           std::int64_t began) {
  const refresh_request request{identifier::parse("v"), options,
                                statement_settings("", std::nullopt, std::nullopt)};
  refresh_record row = record_of(request);
  const std::size_t dot = view.shown.find('.');
  row.schema = view.shown.substr(0, dot);
  row.name = view.shown.substr(dot + 1);
  std::vector<pg::parameter> values;
  values.emplace_back(view.quoted);
  const pg::result oid = co_await on.query(
      "SELECT $1::pg_catalog.regclass::pg_catalog.oid::pg_catalog.int8", std::move(values));
  row.oid = oid.integer(0, 0);
  row.mode = report.mode;
  row.reason = report.reason;
  row.bytes_after = report.bytes;
  row.started = refresh_record::time_point(std::chrono::microseconds(began));
  if (report.mode == refresh_mode::none) row.outcome = history_outcome::skipped;
  co_await store::remember(on, row, std::string());
  co_await store::record(on, std::move(row), 0);
}

// Of several views the error has to say which.
asio::awaitable<store::incremental_refresh> refresh_of(pg::connection& on,
                                                       const incremental_names& view) {
  try {
    co_return co_await store::run_refresh(on, std::string(view.quoted), std::string("auto"), true);
  } catch (const error& failed) {
    throw error(failed.code(), fmt::format("{}: {}", view.shown, failed.what()),
                {.sqlstate = failed.sqlstate(),
                 .hint = failed.hint(),
                 .connection_usable = failed.connection_usable()});
  }
}

asio::awaitable<std::vector<refresh_report>> refresh_in(pg::transaction& in,
                                                        const std::vector<incremental_names>& views,
                                                        const refresh_options& options,
                                                        const reasons& filled) {
  std::set<std::string> bases;
  for (const incremental_names& view : views) bases.insert(view.bases.begin(), view.bases.end());
  std::vector<std::string> all(bases.begin(), bases.end());
  const statement_settings settings("matview refresh together", options.statement_timeout,
                                    options.lock_timeout);
  co_await begin_on_one_snapshot(in, std::move(all), settings);
  const auto began = co_await in.run(moment());
  std::vector<refresh_report> out;
  for (const incremental_names& view : views) {
    const stopwatch watch;
    const store::incremental_refresh done = co_await refresh_of(in.on(), view);
    if (done.mode == "recompile") throw outdated{view.quoted, done.reason};
    refresh_report report;
    report.view = view.shown;
    report.mode = mode_named(done.mode);
    report.reason = done.reason;
    const auto before = filled.find(view.quoted);
    if (before != filled.end() && report.mode == refresh_mode::none) {
      report.mode = refresh_mode::full;
      report.reason = before->second;
    }
    report.incremental = true;
    const auto size = co_await in.run(
        fmt::format("SELECT pg_catalog.pg_total_relation_size('matview.storage_{}')", view.id));
    report.bytes = size.back().integer(0, 0);
    out.push_back(watch.finished(std::move(report)));
  }
  // The history last: a refresh refuses to run behind what its own transaction has written.
  if (began.back().boolean(0, 2)) {
    for (std::size_t i = 0; i < views.size(); ++i) {
      co_await note(in.on(), views[i], options, out[i], began.back().integer(0, 0));
    }
  }
  co_return out;
}

asio::awaitable<std::vector<std::string>> all_incremental(pg::connection& on) {
  const auto found = co_await on.run(
      "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM matview.incremental i "
      "JOIN pg_catalog.pg_class c ON c.oid = i.view::pg_catalog.oid "
      "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname <> 'matview' "
      "ORDER BY i.id");
  std::vector<std::string> out;
  out.reserve(static_cast<std::size_t>(found.back().rows()));
  for (int row = 0; row < found.back().rows(); ++row) out.push_back(found.back().string(row, 0));
  if (out.empty()) throw error(errc::view_not_found, "there is no incremental view");
  co_return out;
}

// Each once, by the name that SQL takes.
asio::awaitable<std::vector<std::string>> those_named(pg::connection& on,
                                                      const std::vector<identifier>& names) {
  std::vector<std::string> out;
  for (const identifier& name : names) {
    const incremental_names view = co_await names_of(on, name);
    if (std::ranges::find(out, view.quoted) == out.end()) out.push_back(view.quoted);
  }
  co_return out;
}

// Compiled anew, and filled by itself.
asio::awaitable<bool> compile_and_fill(pg::connection& on, const std::string& quoted,
                                       const refresh_options& options, int attempts) {
  const statement_settings settings("matview refresh together", options.statement_timeout,
                                    options.lock_timeout);
  std::string preamble = settings.set_local(false);
  if (!options.lock_timeout) preamble += give_way(attempts) + "; ";
  const bool filled = co_await recompile(on, std::string(quoted), std::string(preamble));
  if (filled) co_return true;
  co_return co_await fill_again(on, std::string(quoted), std::move(preamble));
}

asio::awaitable<void> compile_and_fill_patiently(pg::connection& on, const std::string& quoted,
                                                 const refresh_options& options) {
  const auto once = [&](int attempts) { return compile_and_fill(on, quoted, options, attempts); };
  co_await patiently(last_try(!options.lock_timeout), once);
}

asio::awaitable<std::vector<refresh_report>> together_on(pg::connection& on,
                                                         std::vector<identifier> names,
                                                         refresh_options options) {
  std::vector<std::string> wanted;
  if (names.empty()) {
    wanted = co_await all_incremental(on);
  } else {
    wanted = co_await those_named(on, names);
  }
  const auto began = std::chrono::steady_clock::now();
  int failures = 0;
  std::size_t recompiled = 0;
  reasons filled;
  for (;;) {
    // Anew each time: a view that was compiled anew may have other parts.
    std::vector<incremental_names> views;
    for (const std::string& one : wanted) {
      incremental_names view = co_await names_of_quoted(on, std::string(one));
      views.push_back(std::move(view));
    }
    views = in_order(std::move(views));
    const auto work = [&](pg::transaction& in) { return refresh_in(in, views, options, filled); };
    std::string unfit;
    std::optional<error> failure;
    std::vector<refresh_report> reports;
    try {
      reports = co_await pg::in_transaction(on, work);
    } catch (const outdated& one) {
      unfit = one.view;
      filled[unfit] = one.reason;
    } catch (const error& failed) {
      failure = failed;
    }
    if (unfit.empty() && !failure) {
      co_await prune_quietly(on);
      co_return reports;
    }
    if (failure) {
      // Another refresh of one of them came first (40001), or a deadlock was broken.
      const bool again = was_overtaken(*failure) || failure->sqlstate() == "40P01";
      if (again && ++failures < tries) {
        co_await wait_after(failures);
        continue;
      }
      for (const std::string& one : wanted) {
        co_await record_failure(on, std::string(one), options, *failure, failures, began);
      }
      throw error(*failure);
    }
    if (++recompiled > wanted.size() + std::size_t{tries}) {
      throw error(errc::server_error, unfit + " is being changed");
    }
    co_await compile_and_fill_patiently(on, unfit, options);
  }
}

// What is one view's own cannot be said of all.
void refuse_what_is_of_one(const refresh_options& options) {
  std::vector<std::string_view> of_one;
  if (options.concurrently) of_one.emplace_back("concurrently");
  if (options.mode && *options.mode != refresh_mode::automatic) of_one.emplace_back("mode");
  if (options.if_running != if_running::wait) of_one.emplace_back("if_running");
  if (options.if_changed) of_one.emplace_back("if_changed");
  if (options.max_age) of_one.emplace_back("max_age");
  if (options.max_duration) of_one.emplace_back("max_duration");
  if (of_one.empty()) return;
  throw error(
      errc::invalid_option,
      fmt::format("views that are refreshed together cannot have: {}", fmt::join(of_one, ", ")),
      {.hint = "each is refreshed as automatic finds best; timeouts hold for all"});
}

asio::awaitable<std::vector<refresh_report>> together_anywhere(std::vector<std::string> names,
                                                               refresh_options options) {
  refuse_what_is_of_one(options);
  std::vector<identifier> views;
  views.reserve(names.size());
  for (const std::string& name : names) views.push_back(identifier::parse(name));
  session where{std::nullopt, options.database, options.log};
  const auto work = [&](pg::connection& on) { return together_on(on, views, options); };
  co_return co_await on_session(std::move(where), work);
}

}  // namespace

}  // namespace views

asio::awaitable<std::vector<refresh_report>> arefresh_together(std::vector<std::string> names,
                                                               refresh_options options) {
  return views::isolated(views::together_anywhere(std::move(names), std::move(options)));
}

std::vector<refresh_report> refresh_together(const std::vector<std::string>& names,
                                             const refresh_options& options) {
  return pg::run_sync(arefresh_together(names, options));
}

}  // namespace matview
