#pragma once

#include "pg/connection.hpp"
#include "tasks/held_jobs.hpp"
#include "tasks/own_session.hpp"
#include "tasks/tick_claimer.hpp"
#include "tasks/worker_state.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace matview::tasks {

/// The other of a worker's two connections: everything that decides, one statement after the other.
/// It tells what has ended, rescues jobs of dead workers, claims ticks that are due, fetches.
class control final {
 public:
  using clock = std::chrono::steady_clock;

  control(const worker_setup& setup, worker_state& state, held_jobs& jobs)
      : setup_(setup), state_(state), jobs_(jobs), ticks_(setup.log) {}

  /// Until the worker has been drained, or is to end by its options, and everything has ended.
  /// Failures are logged and tried again.
  asio::awaitable<void> run();

 private:
  asio::awaitable<void> take_turns(own_session& on);
  asio::awaitable<bool> deregister(own_session& on);
  [[nodiscard]] bool at_rest() const;
  [[nodiscard]] bool may_leave() const;
  [[nodiscard]] clock::time_point next_turn() const;

  asio::awaitable<void> settle(own_session& on);
  asio::awaitable<void> complete_done(own_session& on);
  [[nodiscard]] std::vector<pg::parameter> done_parameters() const;
  void forget_done(std::size_t count, std::int64_t accepted);
  asio::awaitable<void> tell_failures(own_session& on);
  asio::awaitable<void> give_back(own_session& on);

  asio::awaitable<void> rescue(own_session& on);
  asio::awaitable<void> claim_ticks(own_session& on);
  asio::awaitable<void> fetch(own_session& on);
  asio::awaitable<void> purge(own_session& on);

  const worker_setup& setup_;
  worker_state& state_;
  held_jobs& jobs_;
  tick_claimer ticks_;
  clock::time_point next_purge_ = clock::now() + purge_every;
  clock::time_point last_busy_ = clock::now();

  static constexpr std::chrono::minutes purge_every{1};
};

}  // namespace matview::tasks
