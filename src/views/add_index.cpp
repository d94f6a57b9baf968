#include "pg/transaction.hpp"
#include "store/catalog.hpp"
#include "store/incremental.hpp"
#include "views/compilation.hpp"
#include "views/incremental_session.hpp"
#include "views/session.hpp"
#include "views/statements.hpp"
#include <matview/identifier.hpp>
#include <matview/incremental.hpp>

#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>

namespace matview {

namespace views {

namespace {

asio::awaitable<std::string> on_incremental(pg::transaction& in, const identifier& name,
                                            const checked_index& index) {
  pg::connection& on = in.on();
  const incremental_names view = co_await names_of(on, name);
  co_await in.run("SET LOCAL search_path = ''");
  const std::int64_t definition =
      co_await store::oid_in_schema(on, fmt::format("definition_{}", view.id));
  store::query_facts facts = co_await facts_of(on, definition);
  const compilation compiled = co_await compile_on(on, std::move(facts), parts_of(view.id));
  if (compiled.view() == nullptr) {
    throw error(errc::server_error,
                "its query cannot be maintained any more: " + told(*compiled.refusal()));
  }
  co_return index.create_on_storage(parts_of(view.id).storage, *compiled.view());
}

// The server's refusal in the words of who asked: it knows of storages and of constraints on them.
error refused_index(const std::string& view, const error& failed) {
  const std::string& state = failed.sqlstate();
  if (state == "42703") {
    return {errc::invalid_option,
            failed.what(),
            {.sqlstate = state, .hint = "names are case-sensitive"}};
  }
  if (state == "23505" || state == "23514") {
    return {errc::server_error,
            fmt::format("rows of {} agree in these columns, so that an index on them cannot be "
                        "unique",
                        view),
            {.sqlstate = "23505"}};
  }
  return failed;
}

asio::awaitable<bool> add_in(pg::transaction& in, const identifier& name,
                             const checked_index& index) {
  co_await in.run("SET LOCAL application_name = 'matview index'");
  const std::optional<store::relation> there = co_await store::find_relation(in.on(), name);
  if (!there || !there->is_view()) throw error(store::no_such_view(name, there));
  std::string sql = index.create_on(there->quoted);
  if (there->incremental) sql = co_await on_incremental(in, name, index);
  std::optional<error> failure;
  try {
    co_await in.run(std::move(sql));
  } catch (const error& failed) {
    failure = refused_index(there->quoted, failed);
  }
  if (failure) throw error(*failure);
  co_return true;
}

asio::awaitable<void> add_anywhere(std::string name, index_definition index, std::string database) {
  const identifier view = identifier::parse(name);
  const checked_index checked(index);
  session where{std::nullopt, std::move(database), {}};
  const auto work = [&](pg::connection& on) -> asio::awaitable<bool> {
    const auto add = [&](pg::transaction& in) { return add_in(in, view, checked); };
    co_return co_await pg::in_transaction(on, add);
  };
  co_await on_session(std::move(where), work);
}

}  // namespace

}  // namespace views

asio::awaitable<void> aadd_index(std::string_view name, index_definition index,
                                 std::string database) {
  return views::isolated(
      views::add_anywhere(std::string(name), std::move(index), std::move(database)));
}

void add_index(std::string_view name, const index_definition& index, std::string_view database) {
  pg::run_sync(aadd_index(name, index, std::string(database)));
}

}  // namespace matview
