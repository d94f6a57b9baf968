#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace matview::tasks {

/// A job as a worker has fetched it. Plain data.
struct job {
  std::int64_t id = 0;
  std::int64_t attempt = 0;  ///< This one; counts from 1.
  std::int64_t max_attempts = 0;
  std::string queue = {};
  std::string task = {};
  std::string args = {};               ///< A JSON object.
  std::string schedule = {};           ///< Empty: nobody's.
  std::optional<double> timeout = {};  ///< In seconds.
  double waited = 0;                   ///< Seconds from when it was due to now.
  bool keyed = false;                  ///< Others of its key may wait for its end.
};

/// How an attempt ended.
struct job_end {
  enum class kind {
    done,       ///< To be completed.
    completed,  ///< Done and completed in one transaction.
    failed,
    stale,  ///< Somebody else has the job by now: nothing was done.
  };
  kind how = kind::done;
  std::string error = {};  ///< Of a failed one.
  bool permanent = false;  ///< Whether trying again is useless.
  bool cancelled = false;  ///< Whether it failed because it was asked to stop.
};

}  // namespace matview::tasks
