#pragma once

#include "pg/connection.hpp"
#include "pg/database.hpp"
#include "pg/run_sync.hpp"
#include "store/migrations.hpp"
#include "views/session.hpp"

#include <optional>
#include <string>
#include <utility>

namespace matview::tasks {

/// What is done where the database has no `matview` schema.
enum class no_schema {
  make_it,
  refuse,
  is_empty,  ///< As if nothing were in it.
};

/// Runs `work(connection&)` on a connection of the alias. A refusal for want of the schema or of
/// rights says what to run.
template <class Work>
auto on_store(std::string database, no_schema where_none, Work work)
    -> decltype(work(std::declval<pg::connection&>())) {
  using answer = typename decltype(work(std::declval<pg::connection&>()))::value_type;
  std::optional<error> failure;
  std::string grantee;
  try {
    const auto where = pg::find_database(database);
    pg::lease leased = co_await where->acquire({});
    grantee = leased->user();
    if (where_none == no_schema::make_it) co_await store::migrate(*leased);
    co_return co_await work(*leased);
  } catch (const error& failed) {
    failure = failed;
  }
  if (where_none == no_schema::is_empty && store::means_no_schema(*failure)) co_return answer();
  throw error(store::explained(*failure, grantee));
}

/// The same, waited for.
template <class Work>
auto on_store_now(std::string_view database, no_schema where_none, Work work) {
  return pg::run_sync(
      views::isolated(on_store(std::string(database), where_none, std::move(work))));
}

}  // namespace matview::tasks
