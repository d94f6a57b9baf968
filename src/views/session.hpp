#pragma once

#include "pg/connection.hpp"
#include "pg/database.hpp"
#include "pg/run_sync.hpp"
#include <matview/error.hpp>
#include <matview/log.hpp>
#include <matview/views.hpp>

#include <boost/system/system_error.hpp>

#include <optional>
#include <string>
#include <utility>

namespace matview::views {

/// What an operation runs on: the caller's connection, or one of the alias.
struct session {
  std::optional<PGconn*> borrowed;
  std::string database;
  log_sink log;
};

/// What a caller's connection must be like for any statement.
inline void check_borrowed(const PGconn* raw) {
  if (PQstatus(raw) != CONNECTION_OK) {
    throw error(errc::connection_failed, "the connection that was handed in is not open",
                {.connection_usable = false});
  }
  if (PQpipelineStatus(raw) != PQ_PIPELINE_OFF) {
    throw error(errc::invalid_option, "this connection is in pipeline mode",
                {.hint = "leave it with PQexitPipelineMode() first"});
  }
  if (PQtransactionStatus(raw) == PQTRANS_INERROR) {
    throw error(errc::invalid_option, "the transaction that is open on this connection has failed",
                {.hint = "roll it back first"});
  }
}

/// Runs `work(connection&)` on what `where` names.
template <class Work>
auto on_session(session where, Work work) -> decltype(work(std::declval<pg::connection&>())) {
  if (where.borrowed) {
    check_borrowed(*where.borrowed);
    pg::connection on(*where.borrowed, co_await asio::this_coro::executor, std::move(where.log),
                      pg::notices_to::caller);
    co_return co_await work(on);
  }
  const auto database = pg::find_database(where.database);
  pg::lease leased = co_await database->acquire(std::move(where.log));
  co_return co_await work(*leased);
}

template <class T>
asio::awaitable<T> shielded(asio::awaitable<T> work) {
  co_await pg::shield_cancellation();
  co_return co_await std::move(work);
}

/// `work` as a coroutine of its own, so that what it does about cancellation stays its own affair;
/// whatever the event loop throws comes out as `error`.
template <class T>
asio::awaitable<T> isolated(asio::awaitable<T> work) {
  try {
    const auto executor = co_await asio::this_coro::executor;
    co_return co_await asio::co_spawn(executor, shielded(std::move(work)), asio::use_awaitable);
  } catch (const boost::system::system_error& failed) {
    if (failed.code() == asio::error::operation_aborted) pg::throw_cancelled();
    throw error(errc::connection_failed, std::string("the event loop failed: ") + failed.what(),
                {.connection_usable = false});
  }
}

}  // namespace matview::views
