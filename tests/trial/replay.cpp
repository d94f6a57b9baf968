#include "trial/schedule.hpp"
#include "trial/views.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <thread>
#include <utility>

namespace matview::trial {

namespace {

using namespace std::chrono_literals;

/// What the sessions of a replay share with the one who hands them their steps.
struct stage {
  explicit stage(const schedule& played) : what(played) { result.waited.resize(what.steps.size()); }

  const schedule& what;
  std::mutex mutex;
  std::condition_variable changed;
  bool over = false;
  replay_result result;
};

/// A session with its thread, which does one step after the other. Its end rolls back what is open.
class player final {
 public:
  player(stage& shared, const std::string& url, const runtime& under_trial)
      : stage_(shared), on_(url), actor_(on_, under_trial) {
    on_.execute("SET lock_timeout = '1s'");
    pid_ = on_.query_one("SELECT pg_backend_pid()");
    thread_ = std::jthread([this] { run(); });
  }

  // Whoever calls these holds the mutex.
  void give(std::size_t step) { todo_.push_back(step); }
  [[nodiscard]] bool busy() const { return !todo_.empty(); }
  [[nodiscard]] const std::string& pid() const { return pid_; }
  void note_that_it_waits() { stage_.result.waited[todo_.front()] = true; }

 private:
  void run() {
    std::unique_lock lock(stage_.mutex);
    while (true) {
      stage_.changed.wait(lock, [this] { return stage_.over || busy(); });
      if (stage_.over) break;
      const std::size_t step = todo_.front();
      lock.unlock();
      auto failed = take(step);
      lock.lock();
      if (failed && !stage_.result.failed) stage_.result.failed = std::move(failed);
      todo_.pop_front();
      stage_.changed.notify_all();
    }
    lock.unlock();
    on_.roll_back();
  }

  std::optional<failure> take(std::size_t step) {
    const action& what = stage_.what.steps[step].what;
    try {
      actor_.perform(what);
      const check_result& seen = actor_.seen();
      if (what.what != action::kind::compare || seen.unclear || seen.difference.empty()) {
        return std::nullopt;
      }
      return failure{.kind = "wrong result",
                     .view = what.view,
                     .mode = seen.mode,
                     .reason = seen.reason,
                     .details = seen.difference,
                     .step = step};
    } catch (const sql_error& refused) {
      const auto kind = fault_of(what, refused);
      if (!kind) return std::nullopt;
      return failure{.kind = *kind,
                     .view = what.view,
                     .mode = what.mode,
                     .details = refused.what(),
                     .step = step};
    }
  }

  stage& stage_;
  connection on_;
  actor actor_;
  std::string pid_;
  std::deque<std::size_t> todo_;  // The first is under way.
  std::jthread thread_;
};

class one_replay final {
 public:
  one_replay(const schedule& what, const arena& in)
      : what_(what), arena_(in), runtime_(in.under_trial()), on_(in.url()), stage_(what) {}
  one_replay(const one_replay&) = delete;
  one_replay& operator=(const one_replay&) = delete;
  ~one_replay() {
    stop();
    end_prepared(on_);
  }

  replay_result run() {
    for (const std::string& sql : what_.tables.ddl) on_.execute(sql);
    for (const std::string& sql : what_.tables.rows) try_it(sql);
    on_.execute(analyze_sql(what_.tables));
    if (create_views()) {
      if (runtime_.mutation) runtime_.mutation(on_);
      play();
    }
    return std::move(stage_.result);
  }

 private:
  void try_it(const std::string& sql) {
    try {
      on_.execute(sql);
    } catch (const sql_error& refused) {
      if (refused.sqlstate().empty()) throw;
    }
  }

  bool create_views() {
    for (const view_under_trial& view : what_.views) {
      const made_views made = make_views(runtime_, arena_.url(), on_, view, arena_.qualified(""));
      if (made.queries != verdict::good || made.failed) return false;
      views_.insert(made.incremental.begin(), made.incremental.end());
    }
    return true;
  }

  void play() {
    for (const schedule_step& step : what_.steps) {
      auto& one = players_[step.session];
      if (!one) one = std::make_unique<player>(stage_, arena_.url(), runtime_);
    }
    for (std::size_t i = 0; i < what_.steps.size(); ++i) {
      std::unique_lock lock(stage_.mutex);
      if (stage_.result.failed) break;
      players_.at(what_.steps[i].session)->give(i);
      stage_.result.sent = i + 1;
      stage_.changed.notify_all();
      if (!what_.steps[i].overlaps) await(lock);
    }
    std::unique_lock lock(stage_.mutex);
    if (!stage_.result.failed) await(lock);
    lock.unlock();
    stop();
    auto& failed = stage_.result.failed;
    if (!failed) return;
    // A refresh of what is not there fails, too, and means nothing.
    if (!failed->view.empty() && !views_.contains(arena_.qualified(failed->view))) {
      failed.reset();
      return;
    }
    failed->program = program_text(runtime_, arena_.url(), failed->view);
  }

  /// Until each session has done what it has, or waits for a lock.
  void await(std::unique_lock<std::mutex>& lock) {
    const auto idle = [this] {
      return std::ranges::none_of(players_, [](const auto& one) { return one.second->busy(); });
    };
    while (!stage_.changed.wait_for(lock, 3ms, idle)) {
      if (all_wait(lock)) return;
    }
  }

  bool all_wait(std::unique_lock<std::mutex>& lock) {
    std::vector<std::string> pids;
    for (const auto& [session, one] : players_) {
      if (one->busy()) pids.push_back(one->pid());
    }
    lock.unlock();
    const std::string waiting = on_.query_one(fmt::format(
        "SELECT count(*) FROM unnest(ARRAY[{}]) AS pid WHERE pg_blocking_pids(pid) <> '{{}}'",
        joined(pids, ", ")));
    lock.lock();
    if (waiting != std::to_string(pids.size())) return false;
    for (const auto& [session, one] : players_) {
      if (one->busy()) one->note_that_it_waits();
    }
    return true;
  }

  void stop() {
    {
      const std::scoped_lock lock(stage_.mutex);
      stage_.over = true;
    }
    stage_.changed.notify_all();
    players_.clear();
  }

  const schedule& what_;
  const arena& arena_;
  const runtime& runtime_;
  connection on_;
  stage stage_;
  std::set<std::string> views_;
  std::map<std::size_t, std::unique_ptr<player>> players_;  // By session.
};

}  // namespace

replay_result replay(const schedule& what, arena& in) {
  in.renew();
  return one_replay(what, in).run();
}

}  // namespace matview::trial
