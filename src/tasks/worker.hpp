#pragma once

#include "pg/asio.hpp"
#include "tasks/control.hpp"
#include "tasks/held_jobs.hpp"
#include "tasks/presence.hpp"
#include "tasks/task_set.hpp"
#include "tasks/wake_up.hpp"
#include "tasks/worker_state.hpp"
#include <matview/tasks.hpp>

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>

#include <functional>
#include <string>

namespace matview::tasks {

/// Works on the queues of one database, on one thread, as coroutines over two connections of its
/// own, presence.hpp and control.hpp, and one for each refresh that runs, held_jobs.hpp. What the
/// three tell each other is in worker_state.hpp.
///
/// Either connection may be lost at any moment and is made anew; what could not be told is told
/// then. Nothing that matters lives here alone.
class worker final {
 public:
  /// `tasks` and `options` must outlive it; `on_start` is called once, when the database knows it.
  worker(const asio::any_io_executor& executor, std::string alias, const task_set& tasks,
         const worker_options& options, asio::thread_pool& threads,
         std::function<void()> on_start = {});
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;

  /// Works until drain() has been called, or as the options say, and everything has ended.
  /// @throws error if it cannot begin; later failures are logged and tried again.
  asio::awaitable<void> run();

  /// Begins nothing new; lets jobs end within the grace, then cancels them and gives them back.
  void drain();

  /// Cancels the jobs now and gives them back.
  void stop_jobs();

 private:
  const worker_setup setup_;
  worker_state state_;
  held_jobs jobs_;
  presence presence_;
  control control_;

  wake_up presence_ended_;  // run()'s.
  asio::cancellation_signal stop_presence_;
  asio::steady_timer grace_;
};

}  // namespace matview::tasks
