#pragma once

#include "pg/connection.hpp"

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <memory>

namespace matview::pg {

/// As long as this object lives, and at most for `limit`, the connection may wait for the server.
/// Then it is broken: for statements that are always short, so that silence means that the network
/// has lost the connection without telling.
class answer_limit final {
 public:
  answer_limit(connection& on, const asio::any_io_executor& executor,
               std::chrono::steady_clock::duration limit)
      : timer_(executor, limit) {
    timer_.async_wait([waiting = waiting_, &on](const boost::system::error_code& ended) {
      if (!ended && *waiting) on.hang_up();
    });
  }
  answer_limit(const answer_limit&) = delete;
  answer_limit& operator=(const answer_limit&) = delete;
  ~answer_limit() { *waiting_ = false; }

 private:
  // Shared: the handler may be on its way already when this object goes.
  std::shared_ptr<bool> waiting_ = std::make_shared<bool>(true);
  asio::steady_timer timer_;
};

}  // namespace matview::pg
