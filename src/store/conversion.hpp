#pragma once

#include "pg/connection.hpp"
#include <matview/options.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace matview::store {

/// One privilege on a view that somebody else than its owner has. Plain data: a name may hold
/// anything, so it is made SQL only where that is run.
struct relation_grant {
  std::string privilege;   ///< SELECT, ...
  std::string grantee;     ///< As SQL takes it: PUBLIC, or the role's name, quoted.
  bool grantable = false;  ///< WITH GRANT OPTION.
};

/// What a view has beside its contents, as far as another one can be given it. Plain data.
struct relation_traits {
  std::int64_t oid = 0;
  std::string schema;
  std::string name;
  std::string owner;
  bool owned_by_me = false;
  std::string query;
  std::string comment;
  std::vector<relation_grant> grants;
  std::vector<index_definition> indexes;  ///< Those that create_options can say.
  std::vector<std::string> lost;          ///< What cannot be given to another one, as words.
  std::vector<std::string> dependents;    ///< As PostgreSQL describes them.
};

/// The traits of the view of this name, quoted. Takes weak locks on what its query reads.
/// @throws error  view_not_found; server_error if the query of an incremental view is gone.
asio::awaitable<relation_traits> read_traits(pg::connection& on, std::string quoted,
                                             bool incremental);

/// The oid of the relation of this name now, or 0. Takes no lock on it.
asio::awaitable<std::int64_t> oid_of(pg::connection& on, std::string schema, std::string name);

/// Takes the turn to convert this view until the transaction ends; false if somebody else has it.
asio::awaitable<bool> take_turn(pg::connection& on, std::int64_t oid);

/// Gives the relation `quoted`, which is this role's, the owner, grants and comment of another one,
/// and takes back what default privileges have granted on it beyond those. What an incremental view
/// reads is given to its owner with it: its readers read that with the owner's rights.
asio::awaitable<void> give_traits(pg::connection& on, std::string quoted, bool incremental,
                                  const relation_traits& traits);

}  // namespace matview::store
