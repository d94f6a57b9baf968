#pragma once

#include "pg/asio.hpp"

#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <chrono>
#include <optional>

namespace matview::tasks {

inline constexpr std::chrono::minutes longest_sleep{1};

/// `in` seconds from now; the far end for nothing, and never further than can be slept.
[[nodiscard]] inline std::chrono::steady_clock::time_point moment(std::optional<double> in) {
  using seconds = std::chrono::duration<double>;
  const auto now = std::chrono::steady_clock::now();
  if (!in) return now + longest_sleep;
  const double limited = std::clamp(*in, 0.0, seconds(longest_sleep).count());
  return now + std::chrono::ceil<std::chrono::milliseconds>(seconds(limited));
}

/// Lets one coroutine sleep until somebody wakes it or a time comes. To be used from one thread.
class wake_up final {
 public:
  using clock = std::chrono::steady_clock;

  explicit wake_up(const asio::any_io_executor& executor) : timer_(executor) {}

  /// Ends the sleep, or the next one at once.
  void wake() {
    told_ = true;
    timer_.cancel();
  }

  asio::awaitable<void> sleep_until(clock::time_point when) {
    if (!told_) {
      timer_.expires_at(when);
      co_await timer_.async_wait(pg::as_value);
    }
    told_ = false;
  }

 private:
  asio::steady_timer timer_;
  bool told_ = false;
};

}  // namespace matview::tasks
