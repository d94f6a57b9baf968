#pragma once

#include "pg/asio.hpp"
#include "pg/connection.hpp"

namespace matview::tasks {

/// Finds out whether a pooler lets the two connections share a session. In transaction mode it
/// gives the session that one connection has just left to the next: the worker's lock, LISTEN and
/// prepared statements would be anybody's.
/// @throws error with errc::invalid_option if it does.
asio::awaitable<void> refuse_shared_sessions(pg::connection& first, pg::connection& second);

}  // namespace matview::tasks
