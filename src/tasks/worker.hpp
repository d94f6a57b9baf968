#pragma once

#include "pg/asio.hpp"
#include "pg/database.hpp"
#include "tasks/events.hpp"
#include "tasks/job.hpp"
#include "tasks/performance.hpp"
#include "tasks/task_set.hpp"
#include "tasks/wake_up.hpp"
#include <matview/cron.hpp>
#include <matview/tasks.hpp>

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace matview::tasks {

/// Works on the queues of one database, on one thread, as coroutines over two connections of its
/// own and one for each refresh that runs:
///
/// - presence: holds the lock that tells that the worker lives, listens, and every few seconds
///   sends one statement, the pulse: it renews the leases and asks what there is to do. An idle
///   worker asks nothing else.
/// - control: everything that decides, one statement after the other: it completes what has ended,
///   rescues jobs of dead workers, claims ticks that are due, fetches.
///
/// Either may lose its connection at any moment and makes a new one; what could not be told is told
/// then. Nothing that matters lives here alone.
class worker final {
 public:
  /// `tasks` and `options` must outlive it; `on_start` is called once, when the database knows it.
  worker(const asio::any_io_executor& executor, std::string alias, const task_set& tasks,
         const worker_options& options, asio::thread_pool& threads,
         std::function<void()> on_start = {});

  /// Works until drain() has been called, or as the options say, and everything has ended.
  /// @throws error if it cannot begin; later failures are logged and tried again.
  asio::awaitable<void> run();

  /// Begins nothing new; lets jobs end within the grace, then cancels them and gives them back.
  void drain();

  /// Cancels the jobs now and gives them back.
  void stop_jobs();

 private:
  using clock = std::chrono::steady_clock;

  struct running_job {
    running_job(job fetched, std::uint64_t last_pulse)
        : what(std::move(fetched)), pulse(last_pulse) {}

    job what;
    std::uint64_t pulse;  ///< The last one that had begun when it was fetched.
    asio::cancellation_signal stop;
    bool timed_out = false;
    bool given_back = false;
    bool lost = false;
    std::unique_ptr<asio::steady_timer> limit;
  };
  struct ended_job {
    job what;
    job_end end;
    clock::duration took;
  };

  // Presence.
  asio::awaitable<void> presence();
  asio::awaitable<void> be_present(pg::connection& on);
  asio::awaitable<void> begin_session(pg::connection& on);
  asio::awaitable<void> probe(pg::connection& on);
  asio::awaitable<bool> send_pulse(pg::connection& on);
  void hear(const pg::notification& told);
  void compare_claims(std::string_view held, std::string_view to_cancel, std::uint64_t pulse);

  // Control.
  asio::awaitable<void> control();
  asio::awaitable<void> take_turns(pg::connection& on);
  asio::awaitable<void> settle(pg::connection& on);
  asio::awaitable<void> complete_done(pg::connection& on);
  [[nodiscard]] bool knows(std::int64_t job) const;
  [[nodiscard]] std::vector<pg::parameter> done_parameters() const;
  void forget_done(std::size_t count, std::int64_t accepted);
  asio::awaitable<void> tell_failures(pg::connection& on);
  asio::awaitable<void> give_back(pg::connection& on);
  asio::awaitable<void> rescue(pg::connection& on);
  asio::awaitable<void> claim_ticks(pg::connection& on);
  asio::awaitable<void> claim_due(pg::connection& on);
  asio::awaitable<std::size_t> claim_batch(pg::connection& on, const pg::result& due);
  asio::awaitable<void> suspend(pg::connection& on, const std::string& schedule,
                                std::int64_t revision, const std::string& why);
  asio::awaitable<void> fetch(pg::connection& on);
  asio::awaitable<void> purge(pg::connection& on);
  [[nodiscard]] bool at_rest() const;
  [[nodiscard]] bool may_leave() const;
  [[nodiscard]] clock::time_point next_turn() const;

  void start(job what);
  void end(std::list<running_job>::iterator which, job_end how, clock::duration took);
  void time_out(std::int64_t id);
  void cancel_all(bool to_give_back);
  asio::awaitable<pg::result> ask(pg::connection& on, const pg::named_statement& statement,
                                  const std::vector<pg::parameter>& values);
  asio::awaitable<void> tell(pg::connection& on, std::string sql);
  [[nodiscard]] clock::duration answer_time() const;
  asio::awaitable<void> pause_after(std::string_view who, const error& failed);
  [[nodiscard]] double jitter(double part);
  [[nodiscard]] std::string id_text() const;
  const cron& cron_of(const std::string& expression, const std::string& zone);

  const asio::any_io_executor executor_;
  const std::string alias_;
  const task_set& tasks_;
  const worker_options& options_;
  asio::thread_pool& threads_;
  std::function<void()> on_start_;
  const event_log log_;
  const std::shared_ptr<pg::database> database_;
  const std::string task_names_;     // As an array literal.
  const pg::parameter queue_names_;  // The same; nothing for all.

  std::optional<std::int64_t> id_;  // Of the row that stands for this worker.
  std::uint64_t pulse_ = 0;
  bool look_ = true;       // Jobs may be due.
  bool fetching_ = false;  // The answer to a fetch is under way.
  bool finished_ = false;  // Control has ended.
  bool draining_ = false;
  clock::time_point drain_until_ = clock::time_point::max();
  int failures_in_a_row_ = 0;
  clock::time_point next_job_;
  clock::time_point next_tick_;
  clock::time_point look_again_;
  clock::time_point next_purge_;
  clock::time_point last_busy_ = clock::now();

  std::list<running_job> running_;
  std::vector<ended_job> done_;
  std::vector<ended_job> failed_;
  std::vector<job> to_give_back_;
  std::string silent_;  // Workers that looked dead, as an array literal.
  clock::time_point rescue_at_ = clock::time_point::max();

  wake_up turn_;            // Control's.
  wake_up presence_ended_;  // run()'s.
  asio::cancellation_signal stop_presence_;
  asio::steady_timer grace_;
  std::map<std::pair<std::string, std::string>, cron> crons_;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace matview::tasks
