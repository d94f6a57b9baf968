#pragma once

#include "pg/connection.hpp"
#include <matview/options.hpp>

#include <cstdint>
#include <map>
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

/// An index that another view can be given, and what it has beside its columns.
struct relation_index {
  index_definition definition;
  std::string name;  ///< That it is to have there; empty: any.
  std::string comment;
  bool clustered = false;  ///< CLUSTER goes by it.
};

/// What ALTER ... ALTER COLUMN has set on a column.
struct column_setting {
  std::string column;  ///< As SQL takes it.
  std::string sql;     ///< `SET STATISTICS 500`
  std::string words;   ///< `statistics target 500`
};

/// What stands in an index on the storage of an incremental view for a column of its query.
struct stored_column {
  std::string name;
  std::string key;  ///< As pg_get_indexdef() writes it.
};

/// A column of an incremental view that was given another name than it has in its query.
struct renamed_column {
  std::string from;
  std::string to;
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
  std::vector<std::string> owner_lacks;  ///< Privileges that the owner has revoked from himself.
  std::vector<relation_index> indexes;   ///< Those that create_options can say.
  std::vector<column_setting> settings;
  std::vector<std::string> lost;        ///< What cannot be given to another one, as words.
  std::vector<std::string> dependents;  ///< As PostgreSQL describes them.
  std::vector<renamed_column> renamed;
};

/// The traits of the view `quoted`; `name`, unless it is empty, is what it is to be called again
/// later. `stored`: of an incremental view, as read_keys() found it. Takes weak locks on what its
/// query reads.
/// @throws error  view_not_found; server_error if the query of an incremental view is gone.
asio::awaitable<relation_traits> read_traits(pg::connection& on, std::string quoted,
                                             std::string name, bool incremental,
                                             const std::vector<stored_column>& stored);

/// What stands for the columns of the incremental view with this number in indexes: `stored` has
/// the expressions of which the storage computes them. Makes a temporary table, so it is for a
/// transaction that is undone afterwards.
/// @throws error  permission_denied if this role may make none.
asio::awaitable<std::vector<stored_column>> read_keys(
    pg::connection& on, int id, const std::map<std::string, std::string>& stored);

/// Gives columns of the materialized view `quoted` these names, all at once.
asio::awaitable<void> rename_columns(pg::connection& on, std::string quoted,
                                     std::vector<renamed_column> columns);

/// The oid of the relation of this name now, or 0. Takes no lock on it.
asio::awaitable<std::int64_t> oid_of(pg::connection& on, std::string schema, std::string name);

/// Takes the turn to convert this view until the transaction ends; false if somebody else has it.
asio::awaitable<bool> take_turn(pg::connection& on, std::int64_t oid);

/// Says of those `settings` that they are lost whose column the incremental view `quoted` does not
/// store, but computes when it is read.
asio::awaitable<void> lose_what_is_not_stored(pg::connection& on, std::string quoted,
                                              relation_traits& traits);

/// Gives the relation `quoted`, which is this role's and was made with the indexes of another one
/// in their order, the owner, grants, comment and all the rest of that one, and takes back what
/// default privileges have granted on it beyond those. What an incremental view reads is given to
/// its owner with it: its readers read that with the owner's rights.
asio::awaitable<void> give_traits(pg::connection& on, std::string quoted, bool incremental,
                                  const relation_traits& traits);

}  // namespace matview::store
