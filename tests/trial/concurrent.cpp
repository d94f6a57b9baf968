#include "trial/concurrent.hpp"

#include "trial/dml_generator.hpp"
#include "trial/schedule.hpp"
#include "trial/script.hpp"
#include "trial/views.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

namespace matview::trial {

namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int writers = 3;
constexpr int refreshers = 2;
constexpr std::chrono::seconds round_time{8};

// Not a wait for something: transactions that last are part of the load.
void linger(dice& choose, int percent, int most) {
  if (choose.percent(percent)) {
    std::this_thread::sleep_for(milliseconds(choose.between(1, most)));
  }
}

/// What is left of a round that failed.
struct failed_round {
  failure how = {};
  schedule recorded = {};
  bool may_come_again = false;  ///< It is a step of the schedule that has failed.
};

/// One round: a schema, its views, and what runs on them.
class round final {
 public:
  round(const runtime& under_trial, statistics& seen, std::uint64_t seed)
      : runtime_(under_trial),
        seen_(seen),
        choose_(seed),
        tables_(make_schema(choose_)),
        on_(db_.url()) {}
  round(const round&) = delete;
  round& operator=(const round&) = delete;
  ~round() { end_prepared(on_); }

  std::optional<failed_round> run(milliseconds how_long) {
    if (runtime_.prepare) runtime_.prepare(db_.url());
    actor setup(on_, runtime_);
    for (const std::string& sql : tables_.ddl) setup.execute(sql);
    for (const std::string& sql : tables_.rows) try_it(setup, sql);
    on_.execute(analyze_sql(tables_));
    create_views();
    if (!views_.empty() && !failed_) {
      if (runtime_.mutation) runtime_.mutation(on_);
      run_threads(how_long);
      if (!failed_) compare_at_rest();
    }
    return failed_ ? std::optional(what_is_left()) : std::nullopt;
  }

 private:
  // Views.

  void create_views() {
    query_generator generator(tables_, choose_);
    for (int i = choose_.between(8, 12); i > 0 && !failed_; --i) {
      const view_under_trial view = generator.next(fmt::format("v{}", i));
      made_views made = make_views(runtime_, db_.url(), on_, view);
      seen_.asked(view, made);
      views_.insert(views_.end(), made.incremental.begin(), made.incremental.end());
      if (made.queries == verdict::good) asked_.push_back(view);
      if (made.failed) fail(std::move(*made.failed));
    }
  }

  // Failures. The first one counts; the others follow from it, more often than not.

  /// @param note of the step that has failed
  void fail(failure how, std::optional<std::size_t> note = {}) {
    if (failed_.exchange(true)) return;
    failure_ = std::move(how);
    note_ = note;
    failure_.program = program_text(runtime_, db_.url(), failure_.view);
  }

  failed_round what_is_left() {
    failed_round result{.how = std::move(failure_), .may_come_again = note_.has_value()};
    result.recorded = {
        .tables = std::move(tables_), .views = std::move(asked_), .sessions = journal_.sessions()};
    if (note_) result.recorded.steps = journal_.steps_until(*note_);
    return result;
  }

  // Threads.

  void run_threads(milliseconds how_long) {
    std::vector<std::jthread> others;
    std::vector<std::jthread> writing;
    others.reserve(refreshers + 1);
    writing.reserve(writers);
    for (int i = 0; i < refreshers; ++i) {
      others.push_back(
          start(fmt::format("r{}", i + 1), [this](dice& own, actor& by) { refresh(own, by); }));
    }
    others.push_back(start("pruner", [this](dice&, actor& by) { prune(by); }));
    for (int i = 0; i < writers; ++i) {
      writing.push_back(
          start(fmt::format("w{}", i + 1), [this, i](dice& own, actor& by) { write(i, own, by); }));
    }
    const auto until = clock::now() + how_long;
    while (clock::now() < until && !failed_) std::this_thread::sleep_for(milliseconds(20));
    stop_writers_ = true;
    writing.clear();
    stop_others_ = true;
  }

  /// A thread with a session; what it throws is a failure of the trial.
  std::jthread start(const std::string& who, std::function<void(dice&, actor&)> body) {
    const std::size_t session = journal_.open_session(who);
    return std::jthread([this, who, session, seed = choose_.fork(), body = std::move(body)] {
      try {
        dice own(seed);
        connection on(db_.url());
        actor by(on, runtime_, &journal_, session);
        body(own, by);
      } catch (const std::exception& thrown) {
        fail({.kind = who + " stopped", .details = thrown.what()});
      }
    });
  }

  void prune(actor& by) {
    while (!stop_others_ && !failed_) {
      try {
        by.execute("SELECT matview.prune()");
        seen_.count("prunes");
      } catch (const sql_error& refused) {
        if (!refused.is_conflict()) throw;
      }
      std::this_thread::sleep_for(milliseconds(200));
    }
  }

  struct pending {
    std::string name;
    clock::time_point until;
  };

  void write(int number, dice& own, actor& by) {
    connection& on = by.on();
    on.execute("SET lock_timeout = '150ms'");
    dml_generator statements(tables_, own,
                             {.server_version = on.server_version(),
                              .two_phase = on.query_one("SHOW max_prepared_transactions") != "0",
                              .name = fmt::format("{}_{}", db_.name(), number)});
    std::vector<pending> prepared;
    while (!stop_writers_ && !failed_) {
      const transaction next = statements.next();
      if (perform(by, next, own)) {
        seen_.count(next.ddl.empty() ? "transactions" : "DDL: " + next.ddl);
        if (!next.prepared.empty()) {
          prepared.push_back({next.prepared, clock::now() + milliseconds(own.between(1, 300))});
        }
      }
      end_those(by, prepared, own, clock::now());
    }
    end_those(by, prepared, own, clock::time_point::max());
  }

  bool perform(actor& by, const transaction& all, dice& own) {
    try {
      for (const std::string& sql : all.statements) {
        by.execute(sql);
        linger(own, 12, 50);
        linger(own, 1, 600);
      }
      return true;
    } catch (const sql_error& refused) {
      if (refused.sqlstate().empty()) throw;
      if (const auto kind = fault_of(by.failed(), refused)) {
        fail({.kind = *kind, .details = refused.what()}, by.note());
      }
      by.roll_back();
      seen_.count("transactions that failed");
      return false;
    }
  }

  static void end_those(actor& by, std::vector<pending>& all, dice& own, clock::time_point now) {
    std::erase_if(all, [&](const pending& one) {
      if (one.until > now) return false;
      try_it(by, (own.percent(80) ? "COMMIT PREPARED '" : "ROLLBACK PREPARED '") + one.name + "'");
      return true;
    });
  }

  static void try_it(actor& by, const std::string& sql) {
    try {
      by.execute(sql);
    } catch (const sql_error& refused) {
      if (refused.sqlstate().empty()) throw;
      by.roll_back();
    }
  }

  // Refreshes.

  void refresh(dice& own, actor& by) {
    by.on().execute("SET lock_timeout = '2s'");
    // No swap: to the older snapshots of others the view would look empty.
    static constexpr const char* modes[] = {"auto", "incremental", "diff", "full"};
    while (!stop_others_ && !failed_) {
      const std::string& view = own.of(views_);
      const char* mode = modes[own.weighted({66, 22, 6, 6})];
      const bool roll_back = own.percent(10);
      check(by, view, mode, roll_back, own.percent(20));
    }
  }

  void check(actor& by, const std::string& view, const std::string& mode, bool roll_back,
             bool plainly) {
    try {
      if (plainly) {
        by.refresh_plainly(view);
        seen_.count("plain refreshes");
        return;
      }
      const check_result how = by.check(view, mode, roll_back);
      judge(view, how, by.note());
    } catch (const sql_error& refused) {
      if (const auto kind = fault_of(by.failed(), refused)) {
        fail({.kind = *kind, .view = view, .mode = mode, .details = refused.what()}, by.note());
      } else {
        seen_.count(refused.is_conflict() ? "conflicts, tried again"
                                          : "refused: " + refused.sqlstate());
      }
    }
  }

  void judge(const std::string& view, const check_result& how, std::size_t note) {
    if (how.unclear) {
      seen_.count("unclear: a partition came or went meanwhile");
      return;
    }
    seen_.checked(how);
    if (how.difference.empty()) return;
    fail({.kind = "wrong result",
          .view = view,
          .mode = how.mode,
          .reason = how.reason,
          .details = how.difference},
         note);
  }

  /// Nobody writes any more: each view, refreshed as a user does it, equals its query.
  void compare_at_rest() {
    actor by(on_, runtime_, &journal_, journal_.open_session("last"));
    for (const std::string& sql : ends_of_prepared(on_)) by.execute(sql);
    for (const std::string& view : views_) {
      try {
        by.refresh_plainly(view);
        by.perform(compare_action(view));
        judge(view, by.seen(), by.note());
      } catch (const sql_error& refused) {
        const std::string kind =
            fault_of(by.failed(), refused).value_or("the last refresh met a conflict");
        fail({.kind = kind, .view = view, .mode = "auto", .details = refused.what()}, by.note());
      }
    }
  }

  const runtime& runtime_;
  statistics& seen_;
  dice choose_;
  schema tables_;
  test::test_database db_;
  connection on_;
  std::vector<view_under_trial> asked_;
  std::vector<std::string> views_;  // Those that are incremental; constant while the threads run.
  journal journal_;

  std::atomic<bool> stop_writers_ = false;
  std::atomic<bool> stop_others_ = false;
  std::atomic<bool> failed_ = false;
  // Of the thread that set failed_; read when all have ended.
  failure failure_;
  std::optional<std::size_t> note_;
};

std::string report(failed_round failed, const runtime& under_trial) {
  std::string text = failure_text(failed.how);
  if (!failed.may_come_again || under_trial.shrinking == std::chrono::seconds(0))
    return text + setup_text(failed.recorded.tables, failed.recorded.views);
  arena place(under_trial);
  return text +
         shrunk_schedule(std::move(failed.recorded), failed.how, place, under_trial.shrinking);
}

}  // namespace

std::optional<std::string> run_concurrent(const runtime& under_trial, std::chrono::seconds how_long,
                                          std::uint64_t seed, statistics& seen) {
  constexpr int hopeless = 5;
  dice choose(seed);
  const auto until = clock::now() + how_long;
  for (int number = 0; clock::now() < until; ++number) {
    if (number == hopeless && seen.incremental_views() == 0) break;
    const auto left = std::chrono::duration_cast<milliseconds>(until - clock::now());
    const std::uint64_t round_seed = choose.fork();
    auto failed =
        round(under_trial, seen, round_seed).run(std::min<milliseconds>(left, round_time));
    seen.count("concurrent rounds");
    if (failed)
      return fmt::format("round {}\n", round_seed) + report(std::move(*failed), under_trial);
  }
  return std::nullopt;
}

}  // namespace matview::trial
