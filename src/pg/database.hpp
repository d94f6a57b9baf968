#pragma once

#include "pg/conninfo.hpp"
#include "pg/embedded_server.hpp"
#include "pg/pool.hpp"
#include <matview/databases.hpp>

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace matview::pg {

/// A database that an alias names: its settings, its pool and, if it is a private server, its share
/// in keeping that server running. Safe to use from any thread; held by a shared_ptr, because an
/// operation keeps the database it started with when the registry is replaced.
class database final : public std::enable_shared_from_this<database> {
 public:
  /// @throws error as parse_target().
  explicit database(database_settings settings);

  /// A connection to it; starts the private server first.
  /// @throws error as pool::acquire() and embedded_server::use().
  asio::awaitable<lease> acquire(log_sink log);

  /// The same database with a pool of its own, for one who keeps connections: a worker.
  [[nodiscard]] std::shared_ptr<database> with_pool_of(std::size_t size) const;

  /// How many connections of its pool may be open at once.
  [[nodiscard]] std::size_t pool_size() const noexcept { return settings_.pool_size; }

  [[nodiscard]] const std::string& url() const noexcept { return settings_.url; }

 private:
  asio::awaitable<lease> acquire_embedded(log_sink log);
  std::shared_ptr<pool> existing_pool();
  std::shared_ptr<pool> ready_pool(const log_sink& log);
  pool_settings options_for(std::string conninfo) const;

  const database_settings settings_;
  const target target_;

  std::mutex mutex_;  // Guards what follows. The pool goes before the server that it talks to.
  std::unique_ptr<embedded_server> server_;
  std::shared_ptr<pool> pool_;
};

/// The database behind an alias.
/// @throws error with errc::unknown_database, naming the aliases that there are.
[[nodiscard]] std::shared_ptr<database> find_database(std::string_view alias);

/// The aliases that were configured, sorted; where none was, `default`, which the environment says.
[[nodiscard]] std::vector<std::string> configured_aliases();

}  // namespace matview::pg
