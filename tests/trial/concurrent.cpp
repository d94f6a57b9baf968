#include "trial/concurrent.hpp"

#include "trial/check.hpp"
#include "trial/dml_generator.hpp"
#include "trial/query_generator.hpp"

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

  std::optional<std::string> run(milliseconds how_long) {
    if (runtime_.prepare) runtime_.prepare(db_.url());
    for (const std::string& sql : tables_.ddl) on_.execute(sql);
    for (const std::string& sql : tables_.rows) try_it(on_, sql);
    on_.execute(analyze_sql(tables_));
    create_views();
    if (views_.empty() || failed_) return std::exchange(report_, std::nullopt);
    if (runtime_.mutation) runtime_.mutation(on_);
    run_threads(how_long);
    if (!failed_) compare_at_rest();
    return std::exchange(report_, std::nullopt);
  }

 private:
  // Views.

  void create_views() {
    query_generator generator(tables_, choose_);
    for (int i = choose_.between(8, 12); i > 0 && !failed_; --i) {
      create(generator.next(fmt::format("v{}", i)));
    }
  }

  void create(const view_under_trial& view) {
    for (const definition& one : view.underneath) {
      const std::string sql = to_sql(one.body);
      if (!is_good(sql)) return;
      if (one.materialized) {
        create(one.name, sql);
      } else {
        on_.execute("CREATE VIEW " + one.name + " AS " + sql);
      }
    }
    const std::string sql = to_sql(view.body);
    if (is_good(sql)) seen_.created(view, create(view.name, sql));
  }

  bool is_good(const std::string& sql) {
    const verdict found = judge_query(on_, sql);
    if (found != verdict::good) {
      seen_.count(found == verdict::dear ? "queries that are too dear" : "invalid queries");
    }
    return found == verdict::good;
  }

  creation create(const std::string& name, const std::string& sql) {
    try {
      creation made = runtime_.create(db_.url(), name, sql);
      if (made.incremental) {
        views_.push_back({.name = name, .sql = sql});
      } else {
        create_natively(on_, name, sql);
      }
      return made;
    } catch (const std::exception& thrown) {
      fail("not created", {.name = name, .sql = sql}, {.difference = thrown.what()});
      return {.reason = "failed"};
    }
  }

  // Failures. The first one counts; the others follow from it, more often than not.

  void fail(const std::string& what, const checked_view& view, const check_result& how) {
    if (failed_.exchange(true)) return;
    std::string text = what + " in " + view.name + ", mode " + how.mode +
                       ", reason: " + how.reason + "\n" + how.difference;
    for (const std::string& sql : tables_.ddl) text += sql + ";\n";
    for (const checked_view& one : views_) {
      if (one.name == view.name || view.sql.find(one.name) != std::string::npos) {
        text += "-- incremental: " + one.name + " AS " + one.sql + ";\n";
      }
    }
    try {
      connection other(db_.url());
      if (runtime_.program) text += "-- program:\n" + runtime_.program(other, view.name) + "\n";
    } catch (const std::exception& unknown) {
      text += std::string("-- program: ") + unknown.what() + "\n";
    }
    report_ = std::move(text);
  }

  // Threads.

  void run_threads(milliseconds how_long) {
    std::vector<std::jthread> others;
    std::vector<std::jthread> writing;
    others.reserve(refreshers + 1);
    writing.reserve(writers);
    for (int i = 0; i < refreshers; ++i) {
      others.push_back(
          start("a refresher", [this](dice& own, connection& on) { refresh(own, on); }));
    }
    others.push_back(start("the pruner", [this](dice&, connection& on) { prune(on); }));
    for (int i = 0; i < writers; ++i) {
      writing.push_back(
          start("a writer", [this, i](dice& own, connection& on) { write(i, own, on); }));
    }
    const auto until = clock::now() + how_long;
    while (clock::now() < until && !failed_) std::this_thread::sleep_for(milliseconds(20));
    stop_writers_ = true;
    writing.clear();
    stop_others_ = true;
  }

  /// A thread with a session; what it throws is a failure of the trial.
  std::jthread start(const char* who, std::function<void(dice&, connection&)> body) {
    return std::jthread([this, who, seed = choose_.fork(), body = std::move(body)] {
      try {
        dice own(seed);
        connection on(db_.url());
        body(own, on);
      } catch (const std::exception& thrown) {
        fail(std::string(who) + " stopped", {}, {.difference = thrown.what()});
      }
    });
  }

  void prune(connection& on) {
    while (!stop_others_ && !failed_) {
      try {
        on.execute("SELECT matview.prune()");
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

  void write(int number, dice& own, connection& on) {
    on.execute("SET lock_timeout = '150ms'");
    dml_generator statements(tables_, own,
                             {.server_version = on.server_version(),
                              .two_phase = on.query_one("SHOW max_prepared_transactions") != "0",
                              .name = fmt::format("{}_{}", db_.name(), number)});
    std::vector<pending> prepared;
    while (!stop_writers_ && !failed_) {
      const transaction next = statements.next();
      if (perform(on, next, own)) {
        seen_.count("transactions");
        if (!next.prepared.empty()) {
          prepared.push_back({next.prepared, clock::now() + milliseconds(own.between(1, 300))});
        }
      }
      end_those(on, prepared, own, clock::now());
    }
    end_those(on, prepared, own, clock::time_point::max());
  }

  bool perform(connection& on, const transaction& all, dice& own) {
    try {
      for (const std::string& sql : all.statements) {
        on.execute(sql);
        linger(own, 12, 50);
        linger(own, 1, 600);
      }
      return true;
    } catch (const sql_error& refused) {
      if (refused.sqlstate().empty()) throw;
      if (refused.sqlstate().starts_with("XX") ||
          (refused.mentions("matview.") && !refused.is_conflict())) {
        fail("a writer was disturbed", {}, {.difference = refused.what()});
      }
      on.roll_back();
      seen_.count("transactions that failed");
      return false;
    }
  }

  static void end_those(connection& on, std::vector<pending>& all, dice& own,
                        clock::time_point now) {
    std::erase_if(all, [&](const pending& one) {
      if (one.until > now) return false;
      try_it(on, (own.percent(80) ? "COMMIT PREPARED '" : "ROLLBACK PREPARED '") + one.name + "'");
      return true;
    });
  }

  static void try_it(connection& on, const std::string& sql) {
    try {
      on.execute(sql);
    } catch (const sql_error& refused) {
      if (refused.sqlstate().empty()) throw;
      on.roll_back();
    }
  }

  // Refreshes.

  void refresh(dice& own, connection& on) {
    on.execute("SET lock_timeout = '2s'");
    // No swap: to the older snapshots of others the view would look empty.
    static constexpr const char* modes[] = {"auto", "incremental", "diff", "full"};
    while (!stop_others_ && !failed_) {
      const checked_view& view = own.of(views_);
      const char* mode = modes[own.weighted({66, 22, 6, 6})];
      const bool roll_back = own.percent(10);
      check(on, view, mode, roll_back, own.percent(20));
    }
  }

  void check(connection& on, const checked_view& view, const std::string& mode, bool roll_back,
             bool plainly) {
    try {
      if (plainly) {
        refresh_plainly(on, view);
        seen_.count("plain refreshes");
        return;
      }
      judge(view, refresh_and_compare(on, tables_, view, mode, roll_back));
    } catch (const sql_error& refused) {
      on.roll_back();
      if (refused.is_conflict()) {
        seen_.count("conflicts, tried again");
      } else if (is_refused_mode(mode, refused)) {
        seen_.count("mode refused: " + refused.sqlstate());
      } else {
        fail("the refresh failed", view, {.mode = mode, .difference = refused.what()});
      }
    }
  }

  void judge(const checked_view& view, const check_result& how) {
    if (how.unclear) {
      seen_.count("unclear: a partition came or went meanwhile");
      return;
    }
    seen_.checked(how.mode, how.reason);
    if (!how.difference.empty()) fail("wrong result", view, how);
  }

  /// Nobody writes any more: each view, refreshed as a user does it, equals its query.
  void compare_at_rest() {
    end_prepared(on_);
    for (const checked_view& view : views_) {
      try {
        check_result how = refresh_plainly(on_, view);
        how.difference = difference(on_, view);
        judge(view, how);
      } catch (const sql_error& refused) {
        fail("the last refresh failed", view, {.difference = refused.what()});
      }
    }
  }

  const runtime& runtime_;
  statistics& seen_;
  dice choose_;
  schema tables_;
  test::test_database db_;
  connection on_;
  std::vector<checked_view> views_;  // Constant while the threads run.

  std::atomic<bool> stop_writers_ = false;
  std::atomic<bool> stop_others_ = false;
  std::atomic<bool> failed_ = false;
  std::optional<std::string> report_;  // Of the thread that set failed_; read when all have ended.
};

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
    round now(under_trial, seen, round_seed);
    auto report = now.run(std::min<milliseconds>(left, round_time));
    seen.count("concurrent rounds");
    if (report) return fmt::format("round {}\n", round_seed) + *report;
  }
  return std::nullopt;
}

}  // namespace matview::trial
