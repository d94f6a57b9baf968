#pragma once

#include "pg/transaction.hpp"
#include "views/statements.hpp"
#include <matview/identifier.hpp>

#include <string>
#include <vector>

namespace matview::views {

/// Where an incremental view's parts are: names as SQL takes them.
struct incremental_names {
  int id = 0;
  std::string quoted;
  std::string shown;       ///< `schema.name`
  std::string definition;  ///< The view with the user's query.
  std::vector<std::string> bases;
};

/// @throws error  view_not_found; invalid_option if it is a native view.
asio::awaitable<incremental_names> names_of(pg::connection& on, identifier name);
/// Of one that is known to be incremental, by its quoted name.
asio::awaitable<incremental_names> names_of_quoted(pg::connection& on, std::string quoted);

/// Begins a REPEATABLE READ transaction with these tables locked against TRUNCATE before its
/// snapshot is taken: TRUNCATE does not keep to snapshots.
asio::awaitable<void> begin_on_one_snapshot(pg::transaction& in, std::vector<std::string> bases,
                                            const statement_settings& settings);

/// After a refresh that was committed: prunes the logs. What fails is only logged, as nobody waits
/// for it and the next one tries again.
asio::awaitable<void> prune_quietly(pg::connection& on);

}  // namespace matview::views
