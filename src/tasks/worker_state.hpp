#pragma once

#include "pg/asio.hpp"
#include "pg/database.hpp"
#include "tasks/back_off.hpp"
#include "tasks/events.hpp"
#include "tasks/own_session.hpp"
#include "tasks/task_set.hpp"
#include "tasks/wake_up.hpp"
#include <matview/tasks.hpp>

#include <boost/asio/thread_pool.hpp>
#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace matview::tasks {

/// What a worker was started with. It does not change.
struct worker_setup {
  asio::any_io_executor executor;
  std::string alias;  ///< Of its database.
  const task_set& tasks;
  const worker_options& options;
  asio::thread_pool& threads;  ///< For tasks that block.
  event_log log;
  std::shared_ptr<pg::database> database;
  std::string task_names;     ///< As an array literal.
  pg::parameter queue_names;  ///< The same; nothing for all.

  /// The longest silence after a statement of the worker's own.
  [[nodiscard]] std::chrono::steady_clock::duration answer_time() const {
    using clock = std::chrono::steady_clock;
    return 2 * std::chrono::duration_cast<clock::duration>(options.heartbeat.to_duration()) +
           std::chrono::seconds(1);
  }

  [[nodiscard]] own_session session(pg::connection& on) const {
    return {on, executor, answer_time()};
  }
};

/// What presence, control and the jobs of a worker tell each other. One thread; nobody keeps a
/// value of it across a co_await.
struct worker_state {
  using clock = std::chrono::steady_clock;

  explicit worker_state(const worker_setup& setup)
      : trouble(setup.log, setup.alias), turn(setup.executor) {}

  [[nodiscard]] std::string id_text() const { return fmt::format("{}", id.value_or(0)); }

  std::optional<std::int64_t> id = {};  ///< Of the row that stands for this worker.
  std::uint64_t pulse = 0;              ///< The last one that has begun.
  bool fetching = false;                ///< The answer to a fetch is under way.

  bool draining = false;  ///< Nothing new is begun.
  clock::time_point drain_until = clock::time_point::max();
  bool leaving = false;   ///< Control is deregistering the worker.
  bool finished = false;  ///< Control has ended.

  // What control is to do, and when.
  bool look = true;  ///< Jobs may be due.
  clock::time_point look_again = clock::time_point::max();
  clock::time_point next_job = clock::now();
  clock::time_point next_tick = clock::now();
  std::string silent = {};  ///< Workers that looked dead, as an array literal.
  clock::time_point rescue_at = clock::time_point::max();

  back_off trouble;
  wake_up turn;  ///< Control's: to be woken when any of the above has come nearer.
};

}  // namespace matview::tasks
