#pragma once

#include "pg/asio.hpp"
#include "tasks/events.hpp"
#include "tasks/jitter.hpp"
#include <matview/error.hpp>

#include <string>
#include <string_view>

namespace matview::tasks {

/// How long a worker waits after a failure of its own: longer from failure to failure, up to 5 s.
/// One for both connections, since what ails one mostly ails the other.
class back_off final {
 public:
  back_off(const event_log& log, const std::string& alias) : log_(log), alias_(alias) {}

  /// Logs the failure and waits. Cancelling it ends the wait.
  asio::awaitable<void> pause_after(std::string_view part, const error& failed);

  /// The server has answered again.
  void forget_failures() { in_a_row_ = 0; }

 private:
  const event_log& log_;
  const std::string& alias_;
  int in_a_row_ = 0;
  jitter jitter_;
};

}  // namespace matview::tasks
