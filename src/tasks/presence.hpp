#pragma once

#include "tasks/held_jobs.hpp"
#include "tasks/own_session.hpp"
#include "tasks/worker_state.hpp"

#include <functional>

namespace matview::tasks {

/// One of a worker's two connections: holds the lock that tells that the worker lives, listens,
/// and every few seconds sends one statement, the pulse: it renews the leases and asks what there
/// is to do. It decides nothing: what it hears it puts into the state, and wakes control.
class presence final {
 public:
  using clock = std::chrono::steady_clock;

  /// `on_start` is called once, when the database knows the worker.
  presence(const worker_setup& setup, worker_state& state, held_jobs& jobs,
           std::function<void()> on_start)
      : setup_(setup), state_(state), jobs_(jobs), on_start_(std::move(on_start)) {}

  /// Until control has ended and this is cancelled. Failures are logged and tried again.
  asio::awaitable<void> run();

 private:
  asio::awaitable<void> be_present(own_session& on);
  asio::awaitable<void> begin_session(own_session& on);
  asio::awaitable<void> take_lock(own_session& on);
  asio::awaitable<void> tell_lock(own_session& on);
  asio::awaitable<void> probe(own_session& on);
  asio::awaitable<bool> send_pulse(own_session& on);
  void hear(const pg::notification& told);

  const worker_setup& setup_;
  worker_state& state_;
  held_jobs& jobs_;
  std::function<void()> on_start_;
  bool locked_ = false;  // This session holds the lock that tells that the worker lives.
};

}  // namespace matview::tasks
