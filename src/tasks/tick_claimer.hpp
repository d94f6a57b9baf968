#pragma once

#include "pg/asio.hpp"
#include "pg/result.hpp"
#include "tasks/events.hpp"
#include "tasks/jitter.hpp"
#include "tasks/own_session.hpp"
#include <matview/cron.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace matview::tasks {

/// Turns ticks that are due into jobs, for one worker. Which tick is fired is decided by
/// plan_ticks(); that each is fired once, whoever else claims it, by the statement `claim_ticks`.
/// It keeps nothing but crons that it has parsed: the schedules are read anew each time.
class tick_claimer final {
 public:
  explicit tick_claimer(const event_log& log) : log_(log) {}

  struct claimed {
    bool made_jobs = false;  ///< Or may have.
    /// When to look for ticks again; nothing: at once, more may be due.
    std::optional<std::chrono::steady_clock::time_point> look_next = {};
  };

  /// Claims the first of what is due.
  /// @throws error as own_session::ask(); nothing is half claimed then.
  asio::awaitable<claimed> claim_some(own_session& on);

 private:
  asio::awaitable<std::size_t> claim(own_session& on, const pg::result& due);
  asio::awaitable<void> suspend(own_session& on, const std::string& schedule, std::int64_t revision,
                                const std::string& why);
  const cron& cron_of(const std::string& expression, const std::string& zone);

  const event_log& log_;
  std::map<std::pair<std::string, std::string>, cron> crons_;  // By expression and zone.
  jitter jitter_;
};

}  // namespace matview::tasks
