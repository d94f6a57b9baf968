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

/// Runs `work(connection&)` on a connection of the alias; a refusal for want of the schema or of
/// rights says what to run. With `make_schema`, the schema is brought up to date first.
template <class Work>
auto on_store(std::string database, bool make_schema, Work work)
    -> decltype(work(std::declval<pg::connection&>())) {
  std::optional<error> failure;
  try {
    const auto where = pg::find_database(database);
    pg::lease leased = co_await where->acquire({});
    if (make_schema) co_await store::migrate(*leased);
    co_return co_await work(*leased);
  } catch (const error& failed) {
    failure = failed;
  }
  throw error(store::explained(*failure));
}

/// The same, waited for.
template <class Work>
auto on_store_now(std::string_view database, bool make_schema, Work work) {
  return pg::run_sync(
      views::isolated(on_store(std::string(database), make_schema, std::move(work))));
}

}  // namespace matview::tasks
