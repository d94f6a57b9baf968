#pragma once

#include <matview/interval.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace matview::tasks {

// Looking at the queue and putting a hand in. `database` is an alias. Errors are as in views.hpp;
// the functions may be called from any thread.

/// A job as it stands in the database. Plain data.
struct job_info {
  std::int64_t id = 0;
  std::string state = {};  ///< ready, running, done, dead or cancelled.
  std::string queue = {};
  std::string task = {};
  std::string args = {};  ///< A JSON object.
  int priority = 0;
  int attempt = 0;
  int max_attempts = 0;
  int rescues = 0;  ///< How many workers were lost while they ran it.
  std::string schedule = {};
  std::optional<std::chrono::system_clock::time_point> tick = {};
  std::optional<std::int64_t> worker = {};  ///< That has, or last had, it.
  std::chrono::system_clock::time_point created_at = {};
  std::chrono::system_clock::time_point run_at = {};
  std::optional<std::chrono::system_clock::time_point> started_at = {};
  std::optional<std::chrono::system_clock::time_point> finished_at = {};
  std::string last_error = {};
  std::string errors = {};  ///< A JSON array of the last ten: at, attempt, error.
};

/// Which jobs are meant; what is empty does not matter.
struct job_filter {
  std::string state = {};
  std::string queue = {};
  std::string schedule = {};
  std::size_t most = 100;
};

/// The newest first. @throws error with errc::invalid_option for a state that there is not.
std::vector<job_info> list_jobs(const job_filter& which = {},
                                std::string_view database = "default");

/// @throws error with errc::invalid_option if there is no job of this id.
job_info find_job(std::int64_t id, std::string_view database = "default");

/// Puts a dead or cancelled job back with all its attempts.
/// @throws error with errc::invalid_option if there is no such job, or it is neither.
void retry_job(std::int64_t id, std::string_view database = "default");

/// The same for all dead jobs. @return how many.
std::int64_t retry_dead_jobs(const job_filter& which = {}, std::string_view database = "default");

/// Cancels a job: one that waits at once, one that runs as soon as its worker hears of it, which
/// cancels its statement in the server.
/// @return whether it is cancelled already; otherwise it has been asked to stop.
/// @throws error with errc::invalid_option if there is no such job, or it has ended.
bool cancel_job(std::int64_t id, std::string_view database = "default");

/// Deletes jobs that ended longer ago than `age`, dead ones included, in batches.
/// @return how many.
std::int64_t purge_jobs(const interval& age, const job_filter& which = {},
                        std::string_view database = "default");

/// Jobs of the queue are fetched no more, until it is resumed; what runs goes on.
void pause_queue(std::string_view queue, std::string_view database = "default");
void resume_queue(std::string_view queue, std::string_view database = "default");

/// A worker that has not ended, or of which nobody knows yet that it has. Plain data.
struct worker_info {
  std::int64_t id = 0;
  std::string host = {};
  int pid = 0;
  std::string version = {};
  std::vector<std::string> queues = {};  ///< Empty: all.
  int concurrency = 0;
  int running = 0;     ///< Jobs.
  bool alive = false;  ///< Its session holds its lock, or it showed itself within its lease.
  std::chrono::system_clock::time_point started_at = {};
  std::chrono::system_clock::time_point heartbeat_at = {};
  std::optional<std::chrono::system_clock::time_point> stopping_at = {};
};

std::vector<worker_info> list_workers(std::string_view database = "default");

}  // namespace matview::tasks
