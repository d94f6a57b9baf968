#pragma once

#include "tasks_database.hpp"
#include "tasks_measures.hpp"

#include <cstddef>
#include <string>

// This library's queue, as its users call it.

namespace matview::bench {

/// The argument that makes this program the worker of another one.
inline constexpr const char* worker_flag = "--as-worker";

/// A worker on $MATVIEW_URL with the library's own settings. Says `worker started` when it is one,
/// and `stuck` when it has begun a job that does not end. Returns when it is told to stop.
void be_a_worker();

/// One round on a queue that is emptied first.
[[nodiscard]] outcome measure_library(const scratch_database& on, measure what, std::size_t count);

/// Kills a worker of another process in the middle of a job, at `phase` of the heartbeat (0 to 1)
/// of the one that takes over.
/// @return seconds from the kill to the job's next attempt.
[[nodiscard]] double measure_takeover(const scratch_database& on, double phase);

struct idle_use {
  double resident_mib;
  double cpu_percent;  ///< Of a core.
  double transactions_in_5s;
};

/// A worker that has nothing to do, in a process and a database of its own.
[[nodiscard]] idle_use measure_idle(const std::string& server, double seconds);

/// @return seconds until one worker has made the jobs of so many schedules that are due at once.
[[nodiscard]] double measure_schedules(const scratch_database& on, std::size_t count);

}  // namespace matview::bench
