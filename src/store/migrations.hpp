#pragma once

#include "pg/connection.hpp"

#include <string_view>

namespace matview::store {

// The `matview` schema: its tables come from numbered migrations, the files in migrations/.

/// The number of the newest migration that this program knows.
[[nodiscard]] int newest_migration() noexcept;

/// Brings the database's `matview` schema to what this program needs; one query when it is there
/// already. Each missing migration is one transaction under an advisory lock, so that any number of
/// programs may do this at the same time.
/// @throws error with errc::server_error if the schema is newer than this program, or if a
///         migration was recorded that differs from ours; errc::permission_denied, whose hint is
///         the GRANT to run; errc::invalid_option on a connection with an open transaction.
asio::awaitable<void> migrate(pg::connection& on);

/// Whether a statement on the schema's tables failed because they are not there. Pure.
[[nodiscard]] bool means_no_schema(const error& failed) noexcept;

/// `failed`, with the GRANT or the command to run as its hint if it means that the schema is
/// missing or closed to this role. Pure.
[[nodiscard]] error explained(const error& failed, std::string_view role);

}  // namespace matview::store
