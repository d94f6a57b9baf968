#pragma once

#include "pg/connection.hpp"
#include <matview/error.hpp>
#include <matview/options.hpp>
#include <matview/report.hpp>

#include <chrono>
#include <string>

namespace matview::views {

/// arefresh_matview() on a connection of this library's own, in one try; inside the transaction
/// that is open on it, under a savepoint, if there is one. `tries` were in vain before. The
/// coroutine must have called shield_cancellation().
asio::awaitable<refresh_report> refresh_on(pg::connection& on, std::string name,
                                           refresh_options options, int tries = 0);

/// What the options want to be done after the commit of what `report` tells; adds to it. Never
/// throws for what the server says: the refresh itself is done.
asio::awaitable<void> care_after(pg::connection& on, std::string name,
                                 const refresh_options& options, refresh_report& report);

/// Writes into the history that what was begun then failed, if one is kept. To be called after the
/// rollback. Never throws for what the server says: the failure itself is what must be told.
asio::awaitable<void> record_failure(pg::connection& on, std::string name, refresh_options options,
                                     error failed, int tries,
                                     std::chrono::steady_clock::time_point began);

/// Compiles an incremental view anew whose program does not fit its tables any more
/// (recompile_needed), outside of any transaction; the mode in which it is to be refreshed then.
asio::awaitable<refresh_mode> make_ready(pg::connection& on, std::string name,
                                         refresh_options options, int tries);

}  // namespace matview::views
