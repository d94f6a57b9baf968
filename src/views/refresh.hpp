#pragma once

#include "pg/connection.hpp"
#include <matview/options.hpp>
#include <matview/report.hpp>

#include <string>

namespace matview::views {

/// arefresh_matview() on a connection of this library's own; inside the transaction that is open on
/// it, under a savepoint, if there is one. The coroutine must have called shield_cancellation().
asio::awaitable<refresh_report> refresh_on(pg::connection& on, std::string name,
                                           refresh_options options);

}  // namespace matview::views
