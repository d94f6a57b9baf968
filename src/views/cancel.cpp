#include "views/session.hpp"
#include "views/statements.hpp"
#include <matview/identifier.hpp>
#include <matview/views.hpp>

#include <fmt/format.h>

#include <string>
#include <utility>

namespace matview {

namespace views {

namespace {

asio::awaitable<int> cancel(identifier view, std::string alias) {
  const auto database = pg::find_database(alias);
  pg::lease leased = co_await database->acquire({});
  const std::string sql = fmt::format("SELECT pg_catalog.pg_cancel_backend(pid) FROM ({}) AS s",
                                      refreshing_sessions(view));
  std::optional<error> failure;
  try {
    const pg::result asked = co_await leased->query(sql);
    co_return asked.rows();
  } catch (const error& failed) {
    failure = failed;
  }
  if (failure->sqlstate() != "42501") throw error(*failure);
  throw error(errc::permission_denied, failure->what(),
              {.sqlstate = failure->sqlstate(),
               .hint = "it runs as another role: ask as that role, or GRANT pg_signal_backend"});
}

}  // namespace

}  // namespace views

int cancel_refresh(std::string_view name, std::string_view database) {
  return pg::run_sync(
      views::isolated(views::cancel(identifier::parse(name), std::string(database))));
}

}  // namespace matview
