#pragma once

#include "pg/asio.hpp"
#include "pg/connection.hpp"
#include "pg/result.hpp"

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace matview::tasks {

/// A connection that one part of the worker has for itself, for the worker's own statements. These
/// are short: when no answer comes, the network has lost the connection without telling. It is
/// given up then, and its owner makes a new one. To be used from the connection's coroutine; the
/// connection must outlive it.
class own_session final {
 public:
  /// @param answer_time the longest silence after a statement.
  own_session(pg::connection& on, asio::any_io_executor executor,
              std::chrono::steady_clock::duration answer_time)
      : on_(on), executor_(std::move(executor)), answer_time_(answer_time) {}

  /// Runs a statement of the store. `values` must live until it has been answered.
  /// @throws error as the server says; errc::connection_lost, also for no answer; errc::cancelled.
  asio::awaitable<pg::result> ask(const pg::named_statement& statement,
                                  const std::vector<pg::parameter>& values);

  /// Runs one or more statements whose answers do not matter. @throws error as ask() does.
  asio::awaitable<void> tell(std::string sql);

  /// What other sessions tell; empty when `until` has passed. Silence is nothing unusual here.
  asio::awaitable<std::vector<pg::notification>> hear(pg::deadline until) {
    return on_.notifications(until);
  }

 private:
  pg::connection& on_;
  asio::any_io_executor executor_;
  std::chrono::steady_clock::duration answer_time_;
};

}  // namespace matview::tasks
