#include "tasks/back_off.hpp"

#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>

namespace matview::tasks {

asio::awaitable<void> back_off::pause_after(std::string_view part, const error& failed) {
  ++in_a_row_;
  log_(log_level::warning, "worker troubled",
       {{"database", alias_}, {"part", part}, {"error", failed.what()}, {"hint", failed.hint()}});
  const std::chrono::duration<double> pause(
      std::min(5.0, 0.1 * std::pow(2.0, std::min(in_a_row_, 10))) * jitter_.around_one(0.2));
  asio::steady_timer timer(co_await asio::this_coro::executor);
  timer.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(pause));
  co_await timer.async_wait(pg::as_value);
}

}  // namespace matview::tasks
