#pragma once

#include "pg/asio.hpp"
#include <matview/matview.hpp>

#include <chrono>
#include <string>
#include <string_view>

namespace matview::cli {

/// What `matview demo` tells: each step done for real, timed, and written to stdout as it happens.
class demo_story final {
 public:
  explicit demo_story(log_sink log) : log_(std::move(log)) {}

  /// Before the server is there.
  asio::awaitable<void> begin();

  /// The rest, on the server behind `conninfo`; `keep` leaves the views.
  asio::awaitable<void> tell(std::string conninfo, bool keep);

 private:
  asio::awaitable<void> load();
  asio::awaitable<void> create();
  asio::awaitable<void> list();
  asio::awaitable<void> compare();
  asio::awaitable<void> grow();
  asio::awaitable<void> refresh_plainly();
  asio::awaitable<void> refresh_while_reading();
  asio::awaitable<void> refresh_two_at_once();
  asio::awaitable<void> show_an_error();
  asio::awaitable<void> apply_changes();
  asio::awaitable<void> keep_fresh(const std::string& conninfo);
  asio::awaitable<void> drop();

  asio::awaitable<std::string> ask(std::string sql);
  asio::awaitable<std::chrono::microseconds> time_of(std::string sql);
  asio::awaitable<std::string> ask_until(std::string sql, std::string what);

  log_sink log_;
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

}  // namespace matview::cli
