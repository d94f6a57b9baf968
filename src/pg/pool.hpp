#pragma once

#include "pg/connection.hpp"

#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace matview::pg {

class pool;

/// A connection of a pool, for as long as this object lives; it returns itself.
///
/// What comes back is looked at: a connection that is broken, inside a transaction or in the middle
/// of a statement is closed, the others wait for the next lease.
class lease final {
 public:
  lease(std::shared_ptr<pool> home, connection_handle handle, const asio::any_io_executor& executor,
        log_sink log);
  lease(lease&&) noexcept = default;
  lease& operator=(lease&&) = delete;
  ~lease();

  connection& operator*() noexcept { return *wrapped_; }
  connection* operator->() noexcept { return wrapped_.get(); }

  /// Keeps `owner` alive until the connection has been returned.
  void keep(std::shared_ptr<const void> owner) { owner_ = std::move(owner); }

 private:
  std::shared_ptr<const void> owner_;
  std::shared_ptr<pool> home_;
  connection_handle handle_;
  std::unique_ptr<connection> wrapped_;
};

/// The settings of a pool. Plain data.
struct pool_settings {
  std::string conninfo;
  std::size_t size;
  std::chrono::microseconds connect_timeout;
  std::chrono::microseconds acquire_timeout;
  std::vector<std::string> search_path;
};

/// At most `size` connections to one database, made when they are needed.
///
/// Safe to use from any thread and any executor: a connection belongs to no event loop while
/// nobody leases it. Whoever comes when all are in use waits in line, with a deadline. Must be held
/// by a shared_ptr: leases keep it alive.
class pool final : public std::enable_shared_from_this<pool> {
 public:
  explicit pool(pool_settings options) : options_(std::move(options)) {}

  /// Honours cancellation.
  /// @throws error with errc::connection_failed, also when no connection becomes free in time;
  ///         errc::cancelled.
  asio::awaitable<lease> acquire(log_sink log);

 private:
  friend class lease;
  class ticket;
  struct waiter;

  asio::awaitable<connection_handle> open_one(const log_sink& log);
  asio::awaitable<void> prepare_session(PGconn* raw, const log_sink& log);
  std::optional<connection_handle> take_idle_or_place();
  void give_back(connection_handle handle) noexcept;

  const pool_settings options_;

  std::mutex mutex_;  // Guards what follows.
  std::vector<connection_handle> idle_;
  std::size_t taken_ = 0;  // Places in use: leased, or being connected.
  std::deque<std::shared_ptr<waiter>> line_;
};

}  // namespace matview::pg
