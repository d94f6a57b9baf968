#include "tasks/shared_sessions.hpp"

#include <matview/error.hpp>

#include <cstdint>

namespace matview::tasks {

namespace {

asio::awaitable<std::int64_t> real_backend(pg::connection& on) {
  const pg::result told = co_await on.query("SELECT pg_catalog.pg_backend_pid()");
  co_return told.integer(0, 0);
}

}  // namespace

asio::awaitable<void> refuse_shared_sessions(pg::connection& first, pg::connection& second) {
  for (int round = 0; round < 5; ++round) {
    const std::int64_t one = co_await real_backend(first);
    if (one == first.backend_pid()) co_return;  // No pooler.
    const std::int64_t other = co_await real_backend(second);
    if (one != other) continue;
    throw error(errc::invalid_option,
                "a worker cannot use this connection: the pooler behind it shares sessions, and a "
                "worker needs its own for LISTEN and its lock",
                {.hint = "connect to the server itself, or set pool_mode = session in pgbouncer"});
  }
}

}  // namespace matview::tasks
