#pragma once

#include "pg/asio.hpp"
#include "pg/database.hpp"
#include "tasks/job.hpp"
#include "tasks/task_set.hpp"
#include <matview/log.hpp>

#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <cstdint>
#include <memory>

namespace matview::tasks {

/// What a job is run with.
struct stage {
  std::shared_ptr<pg::database> database;
  std::int64_t worker;
  asio::thread_pool& threads;                       ///< For tasks that block.
  std::chrono::steady_clock::duration answer_time;  ///< Longest silence after a short statement.
  log_sink log;
};

/// Runs one attempt of a job. Never throws but std::bad_alloc. Cancelling it cancels what it does
/// in the server; a task that blocks runs to its end.
asio::awaitable<job_end> perform(job what, const handler& how, stage on);

}  // namespace matview::tasks
