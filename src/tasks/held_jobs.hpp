#pragma once

#include "tasks/job.hpp"
#include "tasks/worker_state.hpp"

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace matview::tasks {

/// A job that has ended, of whose end the database is to be told.
struct ended_job {
  job what;
  job_end end;
  std::chrono::steady_clock::duration took;
};

/// What a pulse says of the worker's jobs, as the statement `pulse` writes it.
struct pulse_answer {
  std::uint64_t pulse;         ///< Its number.
  std::string_view held;       ///< Ids and attempts of those that it found to be ours.
  std::string_view renewed;    ///< Of those among them that were still ours at its end.
  std::string_view to_cancel;  ///< Ids.
};

/// The jobs that a worker has: those that run, and those whose end the database has not been told.
/// Starts them, stops them, and sorts them by how they end. It must outlive what it has started.
class held_jobs final {
 public:
  using clock = std::chrono::steady_clock;

  held_jobs(const worker_setup& setup, worker_state& state) : setup_(setup), state_(state) {}
  held_jobs(const held_jobs&) = delete;
  held_jobs& operator=(const held_jobs&) = delete;

  void start(job what);

  /// Cancels all; they are given back when they have ended.
  void stop_all();

  /// Cancels all: other workers have them by now.
  void lose_all();

  /// Cancels jobs that the database does not count as ours any more and those that somebody
  /// cancels; gives back those that it counts as ours although the answer to their fetch was lost.
  void compare(const pulse_answer& told);

  [[nodiscard]] std::size_t running() const { return running_.size(); }
  [[nodiscard]] std::size_t untold() const {
    return done.size() + failed.size() + to_give_back.size();
  }

  // To be told, and then taken out, by control. New ones are added at the end at any time.
  std::vector<ended_job> done;
  std::vector<ended_job> failed;
  std::vector<job> to_give_back;  ///< Id and attempt of each, at least.

 private:
  // Id and attempt. The id alone is not enough: this worker may have fetched again what it lost.
  using claim = std::pair<std::int64_t, std::int64_t>;

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

  [[nodiscard]] bool knows(claim which) const;
  void time_out(claim which);
  void end(std::list<running_job>::iterator which, job_end how, clock::duration took);

  const worker_setup& setup_;
  worker_state& state_;
  std::list<running_job> running_;
};

}  // namespace matview::tasks
