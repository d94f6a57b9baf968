#include "views/drop.hpp"

#include "pg/transaction.hpp"
#include "store/catalog.hpp"
#include "store/incremental.hpp"
#include "views/incremental_parts.hpp"
#include "views/operation.hpp"
#include "views/patience.hpp"
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

// What came of it.
struct drop_result {
  bool dropped = false;
  bool incremental = false;
};

drop_request checked(std::string_view name, drop_options options) {
  identifier view = identifier::parse(name);
  statement_settings settings("matview drop " + view.text(), options.statement_timeout,
                              options.lock_timeout);
  return {std::move(view), std::move(options), std::move(settings)};
}

// Of an incremental view that is made from it CASCADE has only dropped the query.
asio::awaitable<void> drop_cascading(pg::transaction& in, const std::string& quoted) {
  // Before: they are not ours to drop.
  const std::vector<std::string> before = co_await store::without_definition(in.on());
  std::set<std::string> broken(before.begin(), before.end());
  co_await in.run(fmt::format("DROP VIEW {} CASCADE", quoted));
  for (bool more = true; more;) {
    more = false;
    const std::vector<std::string> found = co_await store::without_definition(in.on());
    for (const std::string& one : found) {
      if (!broken.insert(one).second) continue;
      co_await in.run(fmt::format("DROP VIEW {} CASCADE", one));
      more = true;
    }
  }
}

asio::awaitable<drop_result> drop_incremental(pg::transaction& in, std::string before,
                                              const store::relation& there, bool cascade,
                                              std::string patience) {
  if (!in.nested()) before = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; " + before;
  co_await in.run(before + "SELECT");
  std::vector<int> ids =
      co_await begin_the_end(in, std::string(there.quoted), cascade, std::move(patience));
  // Its own view before its parts: what depends on it is told by its name.
  if (cascade) {
    co_await drop_cascading(in, there.quoted);
  } else {
    co_await in.run(fmt::format("DROP VIEW {}", there.quoted));
  }
  if (!ids.empty()) {
    co_await in.run(hardly_wait);
    co_await store::discard_all(in.on(), std::move(ids));
  }
  drop_result out{.dropped = true, .incremental = true};
  co_return out;
}

asio::awaitable<drop_result> drop_in(pg::transaction& in, const std::string& preamble,
                                     const drop_request& request, std::string patience) {
  const drop_options& options = request.options;
  const std::optional<store::relation> there = co_await store::find_relation(in.on(), request.view);
  if (there && there->incremental) {
    co_return co_await drop_incremental(in, preamble, *there, options.cascade, std::move(patience));
  }
  if (!patience.empty()) patience += "; ";
  const auto results = co_await in.run(preamble + patience + oid_of(request.view) + "; " +
                                       drop(request.view, options.if_exists, options.cascade));
  drop_result out{.dropped = !results.at(results.size() - 2).is_null(0, 0)};
  co_return out;
}

asio::awaitable<drop_result> drop_patiently(pg::connection& on, const drop_request& request) {
  const stopwatch watch;
  const bool patient = !request.options.lock_timeout && on.transaction_status() == PQTRANS_IDLE;
  const auto once = [&, patient](int tries) -> asio::awaitable<drop_result> {
    std::string patience;
    if (patient) patience = give_way(tries);
    const auto work = [&request, patience](pg::transaction& in, const std::string& preamble) {
      return drop_in(in, preamble, request, patience);
    };
    const attempt tried{attempt::kind::drop, request.view, request.settings, watch.began()};
    co_return co_await attempted(on, tried, work);
  };
  co_return co_await patiently(last_try(patient, watch.began()), once);
}

asio::awaitable<bool> drop_on(pg::connection& on, const drop_request& request) {
  std::optional<error> failure;
  try {
    const drop_result done = co_await drop_patiently(on, request);
    if (done.incremental) co_await tidy(on);
    co_return done.dropped;
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
