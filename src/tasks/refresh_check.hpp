#pragma once

#include "pg/connection.hpp"

#include <string>

namespace matview::tasks {

/// Refuses a job of task `refresh` that could never succeed. `args` must be a JSON object.
/// @throws error with errc::invalid_option for arguments without a view's name,
///         errc::invalid_identifier, or errc::view_not_found.
asio::awaitable<void> check_refresh(pg::connection& on, std::string args);

/// The same on a connection of the alias.
asio::awaitable<void> acheck_refresh(std::string database, std::string args);

}  // namespace matview::tasks
