#include "pg/database.hpp"
#include "store/durations.hpp"
#include "store/graph_catalog.hpp"
#include "store/refresh_watch.hpp"
#include "views/one_refresh.hpp"
#include "views/refresh_plan.hpp"
#include "views/session.hpp"
#include "views/statements.hpp"
#include <matview/refresh_many.hpp>
#include <matview/views.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <list>
#include <memory>
#include <utility>

// How many views are refreshed by one coroutine that starts others.
//
// What may start and what a failure means is decided by plan_run (refresh_plan.hpp); here it is
// done. Everything happens on one strand: the leader, a coroutine for each view that is being
// refreshed, and one that watches them for the progress. The leader sleeps until one of them has
// ended or it is asked to stop. Each view's coroutine
//
//   looks at the view (is it there, under which name, in which state)   one short statement
//   runs arefresh_matview()                                             a transaction of its own
//   if the connection was lost: looks again, until the server answers and nobody refreshes the view
//
// Looking first is what tells a view that was dropped from one that was renamed, and gives the
// second look something to compare with. Between the look and the refresh a view may still be
// renamed: then the server finds none of this name, and both are done once more.

namespace matview {

namespace views {

namespace {

using clock = std::chrono::steady_clock;

// A server that has crashed is back after its recovery, which may well take this long.
constexpr std::chrono::seconds patience{20};
constexpr std::chrono::milliseconds between_looks{200};
constexpr std::chrono::milliseconds between_stops{200};

microseconds since(clock::time_point begin) {
  return std::chrono::duration_cast<microseconds>(clock::now() - begin);
}

void check(const refresh_many_options& options) {
  if (options.jobs == 0) {
    throw error(errc::invalid_option, "no view can be refreshed by 0 jobs",
                {.hint = "1 refreshes one after the other"});
  }
}

// What `each` asks for, or what automatic would mean if it were this view's turn now. A name that
// this library does not take keeps the wish: its refresh says why.
asio::awaitable<chosen_mode> planned_mode(pg::connection& on, const plan_step& step,
                                          const refresh_options& each) {
  chosen_mode asked = asked_mode(each);
  if (step.view.kind == node_kind::incremental_view) {
    const bool full = each.mode == refresh_mode::full || each.mode == refresh_mode::diff ||
                      each.mode == refresh_mode::swap;
    if (full) co_return asked;
    asked.mode = refresh_mode::incremental;
    asked.reason = "by what has changed in its tables, or filled anew where that is faster";
    co_return asked;
  }
  if (asked.mode != refresh_mode::automatic) co_return asked;
  asked.reason.clear();
  std::optional<identifier> view;
  try {
    view = identifier::parse(step.view.schema + '.' + step.view.name);
  } catch (const error&) {
    co_return asked;
  }
  const pg::result found = co_await on.query(look_at(*view));
  std::optional<appearance> looks = seen(found);
  if (!looks || !looks->is_matview) co_return asked;
  co_return co_await mode_now(on, std::move(*looks));
}

asio::awaitable<std::vector<plan_step>> plan_on(pg::connection& on, const view_selection& which) {
  store::graph_rows rows = co_await store::read_graph(on);
  const view_graph graph(std::move(rows.nodes), std::move(rows.edges));
  const std::vector<view_graph::index> chosen = select_views(graph, which);
  std::vector<graph_node> views;
  views.reserve(chosen.size());
  for (const view_graph::index at : chosen) views.push_back(graph.nodes()[at]);
  const store::duration_map usual = co_await store::usual_durations(on, views);
  co_return make_plan(graph, chosen, usual);
}

error with_reason(const error& failed, const std::string& more) {
  return {failed.code(),
          fmt::format("{}; {}", failed.what(), more),
          {.sqlstate = failed.sqlstate(),
           .hint = failed.hint(),
           .position = failed.position(),
           .connection_usable = failed.connection_usable()}};
}

bool lost(const error& failed) {
  return failed.code() == errc::connection_lost || failed.code() == errc::in_doubt;
}

/// One run of refresh_many(). To be used from one strand.
class many_refreshes final {
 public:
  many_refreshes(asio::any_io_executor strand, refresh_many_options options,
                 std::shared_ptr<pg::database> database)
      : strand_(std::move(strand)),
        options_(std::move(options)),
        database_(std::move(database)),
        jobs_(std::min(options_.jobs, database_->pool_size())),
        changed_(strand_),
        next_look_(strand_) {
    options_.each.database = options_.database;
  }

  asio::awaitable<refresh_summary> run() {
    {
      pg::lease leased = co_await database_->acquire(options_.log);
      plan_ = co_await plan_on(*leased, options_.which);
    }
    run_.emplace(plan_);
    expected_ = forecast(plan_, jobs_).end;
    if (options_.on_progress) start_watch();
    co_await lead();
    led_ = true;
    stop_watch_.emit(asio::cancellation_type::terminal);
    while (watching_) co_await sleep();
    if (failure_) std::rethrow_exception(failure_);
    summary_.duration = since(began_);
    summary_.jobs = jobs_;
    co_return std::move(summary_);
  }

 private:
  struct active {
    std::size_t step = 0;
    graph_node view;  // Under the name that it has now.
    clock::time_point began = clock::now();
    std::optional<std::int64_t> old_bytes = {};
    asio::cancellation_signal stop = {};
  };
  using active_place = std::list<active>::iterator;

  asio::awaitable<void> lead() {
    for (;;) {
      start_what_may();
      if (active_.empty()) co_return;
      co_await sleep();
      const auto state = co_await asio::this_coro::cancellation_state;
      if (state.cancelled() != asio::cancellation_type::none) stop_all();
    }
  }

  // Until something has changed since the last time, or the caller cancels. Once that has happened
  // only for a moment: see stop_all().
  asio::awaitable<void> sleep() {
    if (!woken_) {
      changed_.expires_at(summary_.cancelled ? clock::now() + between_stops
                                             : clock::time_point::max());
      co_await changed_.async_wait(pg::as_value);
    }
    woken_ = false;
  }

  void wake() {
    woken_ = true;
    changed_.cancel();
  }

  // Called again until all have ended: a coroutine that is just beginning does not hear the first
  // call, and one that is stopping does not mind the next.
  void stop_all() {
    summary_.cancelled = true;
    for (const std::size_t step : run_->abandon()) {
      tell({.view = plan_[step].view.display(), .reason = "interrupted before it began"});
    }
    for (active& one : active_) one.stop.emit(asio::cancellation_type::terminal);
  }

  void start_what_may() {
    while (active_.size() < jobs_) {
      const std::optional<std::size_t> step = run_->start_next();
      if (!step) return;
      if (plan_[*step].skipped.empty()) {
        start(*step);
        continue;
      }
      tell({.view = plan_[*step].view.display(), .reason = plan_[*step].skipped});
      run_->succeeded(*step);
    }
  }

  void start(std::size_t step) {
    active_.emplace_back();
    const active_place place = std::prev(active_.end());
    place->step = step;
    place->view = plan_[step].view;
    asio::co_spawn(strand_, perform(*place),
                   asio::bind_cancellation_slot(
                       place->stop.slot(),
                       [this, place](const std::exception_ptr& broken, refreshed_view ended) {
                         if (broken) failure_ = broken;
                         end(place, std::move(ended));
                       }));
  }

  void end(active_place place, refreshed_view ended) {
    const std::size_t step = place->step;
    const refresh_outcome outcome = ended.outcome;
    active_.erase(place);
    tell(std::move(ended));
    if (outcome == refresh_outcome::done || outcome == refresh_outcome::skipped) {
      run_->succeeded(step);
    } else {
      const std::string reason =
          fmt::format("upstream {} {}", plan_[step].view.display(),
                      outcome == refresh_outcome::failed ? "failed" : "is in doubt");
      for (const std::size_t behind : run_->failed(step)) {
        tell({.view = plan_[behind].view.display(),
              .outcome = refresh_outcome::upstream_failed,
              .reason = reason});
      }
    }
    wake();
  }

  void tell(refreshed_view ended) {
    if (options_.on_ended) options_.on_ended(ended);
    summary_.views.push_back(std::move(ended));
  }

  // One view from the first look to the last. Throws nothing but std::bad_alloc.
  asio::awaitable<refreshed_view> perform(active& mine) {
    co_await pg::shield_cancellation();
    refreshed_view out{.view = mine.view.display()};
    std::optional<error> failure;
    for (int attempt = 0; attempt < 3; ++attempt) {
      failure.reset();
      std::optional<store::view_state> before;
      try {
        before = co_await look(mine);
        if (!before) {
          out.reason = "it was dropped while this ran";
          co_return out;
        }
        out.reason = adopt(mine, *before);
        refresh_report done = co_await refresh(mine);
        out.outcome = refresh_outcome::done;
        out.report = std::move(done);
        co_return out;
      } catch (const error& failed) {
        failure = failed;
      }
      if (failure->code() != errc::view_not_found) {
        co_await fail(mine, *failure, before, out);
        co_return out;
      }
    }
    const std::optional<store::view_state> unseen;
    co_await fail(mine, *failure, unseen, out);
    co_return out;
  }

  // What happened to the view since the graph was read, as a sentence or nothing.
  static std::string adopt(active& mine, const store::view_state& found) {
    const graph_node planned = mine.view;
    mine.view.schema = found.schema;
    mine.view.name = found.name;
    mine.view.oid = found.oid;
    mine.old_bytes = found.bytes;
    if (planned.schema != found.schema || planned.name != found.name) {
      return fmt::format("it is now called {}", mine.view.display());
    }
    return planned.oid == found.oid ? "" : "it was made anew while this ran";
  }

  asio::awaitable<std::optional<store::view_state>> look(const active& mine) {
    pg::lease leased = co_await database_->acquire(options_.log);
    co_return co_await store::look_at(*leased, plan_[mine.step].view, turn_class);
  }

  asio::awaitable<refresh_report> refresh(const active& mine) const {
    const std::string name = mine.view.schema + '.' + mine.view.name;
    return arefresh_matview(name, options_.each);
  }

  asio::awaitable<void> fail(active& mine, const error& failed,
                             const std::optional<store::view_state>& before, refreshed_view& out) {
    out.outcome = refresh_outcome::failed;
    out.failure = failed;
    if (lost(failed) && before) co_await settle(mine, *before, out);
    if (out.outcome != refresh_outcome::done) out.reason = out.failure->what();
  }

  // After a lost connection: what the view is as soon as the server answers again and the session
  // that was lost, which may still be at work, has let go of it.
  asio::awaitable<void> settle(active& mine, const store::view_state& before, refreshed_view& out) {
    const error failed = *out.failure;
    const bool doubtful = failed.code() == errc::in_doubt;
    const clock::time_point until = clock::now() + patience;
    std::optional<store::view_state> now;
    bool known = false;
    while (!known && clock::now() < until && !summary_.cancelled) {
      try {
        now = co_await look(mine);
        known = !now || !now->being_refreshed;
      } catch (const error&) {
        known = false;  // Not back yet.
      }
      if (!known) co_await pause();
    }
    if (!known) {
      if (doubtful) out.outcome = refresh_outcome::in_doubt;
      out.failure = with_reason(failed, "the view could not be looked up again");
    } else if (doubtful && now && now->version != before.version) {
      out.outcome = refresh_outcome::done;
      out.failure.reset();
      out.reason =
          "the connection was lost at the end of it; looked up again, the view has been refreshed";
    } else {
      out.failure =
          with_reason(failed, now && now->version == before.version
                                  ? "looked up again, the view is as it was"
                                  : "looked up again, somebody else has changed the view");
    }
  }

  static asio::awaitable<void> pause() {
    asio::steady_timer timer(co_await asio::this_coro::executor, between_looks);
    co_await timer.async_wait(pg::as_value);
  }

  // Progress.

  void start_watch() {
    watching_ = true;
    asio::co_spawn(strand_, watch(),
                   asio::bind_cancellation_slot(stop_watch_.slot(), [this](std::exception_ptr) {
                     watching_ = false;
                     wake();
                   }));
  }

  asio::awaitable<void> watch() {
    co_await pg::shield_cancellation();
    // Beside the pool: what is watched may need all of it.
    const std::shared_ptr<pg::database> apart = database_->with_pool_of(1);
    while (!led_) {
      refresh_progress now = progress();
      co_await add_sights(*apart, now);
      if (led_) co_return;
      options_.on_progress(now);
      next_look_.expires_after(options_.progress_every);
      co_await next_look_.async_wait(pg::as_value);
    }
  }

  refresh_progress progress() const {
    refresh_progress out{.views = plan_.size(),
                         .ended = summary_.views.size(),
                         .elapsed = since(began_),
                         .expected = expected_};
    for (const active& one : active_) {
      out.running.push_back({.view = one.view.display(),
                             .elapsed = since(one.began),
                             .expected = plan_[one.step].expected,
                             .old_bytes = one.old_bytes});
    }
    return out;
  }

  // What the server shows of them. Not shown is what cannot be seen, or not now.
  asio::awaitable<void> add_sights(pg::database& apart, refresh_progress& to) {
    std::vector<store::watched_refresh> watched;
    for (const active& one : active_) {
      watched.push_back(
          {one.view.oid, fmt::format("matview refresh {}.{}", one.view.schema, one.view.name)});
    }
    if (watched.empty()) co_return;
    try {
      pg::lease leased = co_await apart.acquire(options_.log);
      if (!sees_files_) sees_files_ = co_await store::may_see_files(*leased);
      const std::vector<store::refresh_sight> seen =
          co_await store::watch(*leased, watched, *sees_files_);
      for (std::size_t i = 0; i < std::min(seen.size(), to.running.size()); ++i) {
        to.running[i].new_bytes = seen[i].new_bytes;
        to.running[i].blocked_by = seen[i].blocked_by;
      }
    } catch (const error& failed) {
      if (options_.log) options_.log(log_level::debug, failed.what());
    }
  }

  const asio::any_io_executor strand_;
  refresh_many_options options_;
  const std::shared_ptr<pg::database> database_;  // The one that it started with.
  const std::size_t jobs_;
  const clock::time_point began_ = clock::now();

  std::vector<plan_step> plan_;
  std::optional<plan_run> run_;
  std::optional<microseconds> expected_;
  std::list<active> active_;
  refresh_summary summary_;
  std::exception_ptr failure_;

  asio::steady_timer changed_;
  bool woken_ = false;

  asio::steady_timer next_look_;
  asio::cancellation_signal stop_watch_;
  std::optional<bool> sees_files_;
  bool watching_ = false;
  bool led_ = false;  // The leader has seen all end.
};

asio::awaitable<refresh_summary> on_strand(refresh_many_options options) {
  check(options);
  const std::shared_ptr<pg::database> database = pg::find_database(options.database);
  const asio::any_io_executor strand = co_await asio::this_coro::executor;
  many_refreshes all(strand, std::move(options), database);
  co_return co_await all.run();
}

asio::awaitable<refresh_summary> anywhere(refresh_many_options options) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const asio::any_io_executor strand = asio::make_strand(executor);
  co_return co_await asio::co_spawn(strand, shielded(on_strand(std::move(options))),
                                    asio::use_awaitable);
}

asio::awaitable<refresh_forecast> forecast_anywhere(refresh_many_options options) {
  check(options);
  const std::shared_ptr<pg::database> database = pg::find_database(options.database);
  pg::lease leased = co_await database->acquire(options.log);
  const std::vector<plan_step> plan = co_await plan_on(*leased, options.which);
  refresh_forecast out{.critical_path = critical_path(plan),
                       .jobs = std::min(options.jobs, database->pool_size())};
  const plan_forecast expected = forecast(plan, out.jobs);
  out.expected = expected.end;
  for (const std::size_t at : expected.order) {
    const plan_step& step = plan[at];
    const chosen_mode chosen = co_await planned_mode(*leased, step, options.each);
    planned_refresh one{.view = step.view.display(),
                        .mode = chosen.mode,
                        .mode_reason = chosen.reason,
                        .skipped = step.skipped,
                        .expected = step.expected};
    for (const std::size_t first : step.after) one.after.push_back(plan[first].view.display());
    if (expected.end) one.begins = expected.begins[at];
    out.views.push_back(std::move(one));
  }
  co_return out;
}

}  // namespace

}  // namespace views

std::string_view to_string(refresh_outcome outcome) noexcept {
  switch (outcome) {
    case refresh_outcome::done:
      return "done";
    case refresh_outcome::failed:
      return "failed";
    case refresh_outcome::upstream_failed:
      return "upstream_failed";
    case refresh_outcome::skipped:
      return "skipped";
    case refresh_outcome::in_doubt:
      return "in_doubt";
  }
  return "failed";
}

std::size_t refresh_summary::count(refresh_outcome outcome) const noexcept {
  return static_cast<std::size_t>(
      std::count_if(views.begin(), views.end(),
                    [outcome](const refreshed_view& one) { return one.outcome == outcome; }));
}

asio::awaitable<refresh_summary> arefresh_many(refresh_many_options options) {
  return views::isolated(views::anywhere(std::move(options)));
}

refresh_summary refresh_many(const refresh_many_options& options) {
  return pg::run_sync(arefresh_many(options));
}

asio::awaitable<refresh_forecast> aforecast_refresh(refresh_many_options options) {
  return views::isolated(views::forecast_anywhere(std::move(options)));
}

refresh_forecast forecast_refresh(const refresh_many_options& options) {
  return pg::run_sync(aforecast_refresh(options));
}

}  // namespace matview
