#include "store/history.hpp"

#include "store/migrations.hpp"
#include "views/session.hpp"
#include <matview/history.hpp>
#include <matview/identifier.hpp>

#include <string>
#include <utility>

namespace matview {

namespace views {

namespace {

constexpr int prune_batch = 1'000;

asio::awaitable<std::vector<refresh_record>> list(history_options options, std::string schema,
                                                  std::string name) {
  const auto database = pg::find_database(options.database);
  pg::lease leased = co_await database->acquire({});
  std::optional<error> failure;
  try {
    co_return co_await store::history(*leased, std::move(schema), std::move(name), options.limit);
  } catch (const error& failed) {
    failure = failed;
  }
  if (store::means_no_schema(*failure)) co_return std::vector<refresh_record>();
  throw error(store::explained(*failure, leased->user()));
}

asio::awaitable<bool> keep(std::string alias) {
  const auto database = pg::find_database(alias);
  pg::lease leased = co_await database->acquire({});
  co_await store::migrate(*leased);
  co_return true;
}

asio::awaitable<std::int64_t> prune(prune_options options) {
  const auto database = pg::find_database(options.database);
  pg::lease leased = co_await database->acquire({});
  const double seconds = std::chrono::duration<double>(options.keep.to_duration()).count();
  std::int64_t all = 0;
  std::optional<error> failure;
  try {
    for (;;) {
      const std::int64_t gone = co_await store::prune(*leased, seconds, prune_batch);
      all += gone;
      if (gone < prune_batch) co_return all;
    }
  } catch (const error& failed) {
    failure = failed;
  }
  if (store::means_no_schema(*failure)) co_return all;
  throw error(store::explained(*failure, leased->user()));
}

}  // namespace

}  // namespace views

std::vector<refresh_record> list_history(const history_options& options) {
  std::string schema;
  std::string name;
  if (!options.view.empty()) {
    const identifier view = identifier::parse(options.view);
    schema = view.schema();
    name = view.name();
  }
  return pg::run_sync(views::isolated(views::list(options, std::move(schema), std::move(name))));
}

void keep_history(std::string_view database) {
  pg::run_sync(views::isolated(views::keep(std::string(database))));
}

std::int64_t prune_history(const prune_options& options) {
  return pg::run_sync(views::isolated(views::prune(options)));
}

}  // namespace matview
