#include "views/drop.hpp"

#include "pg/transaction.hpp"
#include "store/catalog.hpp"
#include "store/incremental.hpp"
#include "views/operation.hpp"
#include "views/session.hpp"
#include "views/statements.hpp"
#include <matview/error.hpp>
#include <matview/identifier.hpp>

#include <fmt/format.h>

#include <optional>
#include <set>
#include <string>
#include <utility>

namespace matview {

namespace views {

namespace {

struct drop_request {
  identifier view;
  drop_options options;
  statement_settings settings;
};

drop_request checked(std::string_view name, drop_options options) {
  identifier view = identifier::parse(name);
  statement_settings settings("matview drop " + view.text(), options.statement_timeout,
                              options.lock_timeout);
  return {std::move(view), std::move(options), std::move(settings)};
}

// Its own view first: what depends on it is told by its name.
asio::awaitable<bool> drop_incremental(pg::transaction& in, const std::string& preamble,
                                       const store::relation& there, const drop_options& options) {
  std::set<std::string> broken;  // Before: they are not ours to drop.
  if (options.cascade) {
    const std::vector<std::string> found = co_await store::without_definition(in.on());
    broken.insert(found.begin(), found.end());
  }
  co_await in.run(
      fmt::format("{}DROP VIEW {}{}", preamble, there.quoted, options.cascade ? " CASCADE" : ""));
  // Of an incremental view that is made from it CASCADE has only dropped the query.
  for (bool more = options.cascade; more;) {
    more = false;
    const std::vector<std::string> found = co_await store::without_definition(in.on());
    for (const std::string& one : found) {
      if (!broken.insert(one).second) continue;
      co_await in.run(fmt::format("DROP VIEW {} CASCADE", one));
      more = true;
    }
  }
  co_await store::discard_orphans(in.on());
  co_return true;
}

asio::awaitable<bool> drop_in(pg::transaction& in, const std::string& preamble,
                              const drop_request& request) {
  const drop_options& options = request.options;
  const std::string before = preamble + oid_of(request.view) + "; ";
  const std::optional<store::relation> there = co_await store::find_relation(in.on(), request.view);
  if (there && there->incremental)
    co_return co_await drop_incremental(in, preamble, *there, options);
  const auto results =
      co_await in.run(before + drop(request.view, options.if_exists, options.cascade));
  co_return !results.at(results.size() - 2).is_null(0, 0);
}

asio::awaitable<bool> drop_on(pg::connection& on, const drop_request& request) {
  const stopwatch watch;
  const attempt tried{attempt::kind::drop, request.view, request.settings, watch.began()};
  const auto work = [&](pg::transaction& in, const std::string& preamble) {
    return drop_in(in, preamble, request);
  };
  std::optional<error> failure;
  try {
    const bool dropped = co_await attempted(on, tried, work);
    co_return dropped;
  } catch (const error& failed) {
    failure = failed;
  }
  if (failure->code() != errc::dependents_exist || !on.usable()) throw error(*failure);
  std::string named = co_await store::named_by_users(on, std::string(failure->what()));
  throw error(failure->code(), named,
              {.sqlstate = failure->sqlstate(),
               .hint = failure->hint(),
               .connection_usable = failure->connection_usable()});
}

asio::awaitable<bool> drop_anywhere(std::optional<PGconn*> borrowed, std::string name,
                                    drop_options options) {
  const drop_request request = checked(name, std::move(options));
  session where{borrowed, request.options.database, request.options.log};
  const auto work = [&](pg::connection& on) { return drop_on(on, request); };
  co_return co_await on_session(std::move(where), work);
}

asio::awaitable<void> without_result(asio::awaitable<bool> dropped) {
  co_await std::move(dropped);
}

}  // namespace

asio::awaitable<bool> drop_if_there(std::optional<PGconn*> borrowed, std::string name,
                                    drop_options options) {
  return isolated(drop_anywhere(borrowed, std::move(name), std::move(options)));
}

}  // namespace views

asio::awaitable<void> adrop_matview(std::string_view name, drop_options options) {
  return views::without_result(
      views::drop_if_there(std::nullopt, std::string(name), std::move(options)));
}

asio::awaitable<void> adrop_matview(PGconn* connection, std::string_view name,
                                    drop_options options) {
  return views::without_result(
      views::drop_if_there(connection, std::string(name), std::move(options)));
}

void drop_matview(std::string_view name, const drop_options& options) {
  pg::run_sync(adrop_matview(name, options));
}

void drop_matview(PGconn* connection, std::string_view name, const drop_options& options) {
  pg::run_sync(adrop_matview(connection, name, options));
}

}  // namespace matview
