#include "views/incremental_session.hpp"

#include "store/catalog.hpp"
#include "store/incremental.hpp"
#include <matview/error.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <optional>
#include <utility>

namespace matview::views {

namespace {

constexpr const char* names_sql = R"(
  SELECT i.id, pg_catalog.format('%I.%I', n.nspname, c.relname), n.nspname || '.' || c.relname,
         pg_catalog.format('matview.definition_%s', i.id),
         (SELECT pg_catalog.format('%I.%I', bn.nspname, b.relname)
            FROM pg_catalog.pg_class b JOIN pg_catalog.pg_namespace bn ON bn.oid = b.relnamespace
           WHERE b.oid = l.base::pg_catalog.oid),
         EXISTS (SELECT FROM pg_catalog.pg_class d WHERE d.oid = i.definition::pg_catalog.oid)
    FROM matview.incremental i
    JOIN pg_catalog.pg_class c ON c.oid = i.view::pg_catalog.oid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN matview.capture k ON k.view = i.id JOIN matview.change_log l ON l.id = k.log
   WHERE c.oid = pg_catalog.to_regclass($1))";

}  // namespace

asio::awaitable<incremental_names> names_of(pg::connection& on, identifier name) {
  const std::optional<store::relation> there = co_await store::find_relation(on, name);
  if (!there || !there->is_view()) throw error(store::no_such_view(name, there));
  if (!there->incremental) {
    throw error(errc::invalid_option,
                fmt::format("{} is a native materialized view", there->quoted),
                {.hint = "this is for incremental views; matview convert NAME --to incremental "
                         "makes it one"});
  }
  try {
    co_return co_await names_of_quoted(on, there->quoted);
  } catch (const error& failed) {
    if (failed.sqlstate() != "42501" || there->parts_of_another.empty()) throw;
    throw error(store::parts_refused(*there, failed));
  }
}

asio::awaitable<incremental_names> names_of_quoted(pg::connection& on, std::string quoted) {
  std::vector<pg::parameter> values;
  values.emplace_back(quoted);
  const pg::result found = co_await on.query(names_sql, std::move(values));
  if (found.rows() == 0) {
    throw error(
        errc::view_not_found,
        fmt::format("{} looks like an incremental view, but matview's tables do not know it",
                    quoted),
        {.hint = "was the schema matview dropped or restored without its data? Drop the "
                 "view and create it again"});
  }
  incremental_names out{.id = static_cast<int>(found.integer(0, 0)),
                        .quoted = found.string(0, 1),
                        .shown = found.string(0, 2),
                        .definition = found.string(0, 3),
                        .bases = {}};
  const bool whole = found.boolean(0, 5);
  if (!whole) throw error(store::definition_gone(out.quoted));
  out.bases.reserve(static_cast<std::size_t>(found.rows()));
  for (int row = 0; row < found.rows(); ++row) out.bases.push_back(found.string(row, 4));
  co_return out;
}

asio::awaitable<void> begin_on_one_snapshot(pg::transaction& in, std::vector<std::string> bases,
                                            const statement_settings& settings) {
  std::optional<error> failure;
  try {
    co_await in.run(fmt::format(
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; {}LOCK TABLE {} IN ACCESS SHARE MODE",
        settings.set_local(false), fmt::join(bases, ", ")));
  } catch (const error& failed) {
    failure = failed;
  }
  if (!failure) co_return;
  if (failure->sqlstate() != "42P01") throw error(*failure);
  // It has waited for who renamed or dropped it.
  throw error(errc::server_error, failure->what(), {.sqlstate = "40001", .hint = "try again"});
}

asio::awaitable<void> prune_quietly(pg::connection& on) {
  try {
    co_await store::prune_logs(on);
  } catch (const error& failed) {
    if (on.log()) on.log()(log_level::warning, std::string("not pruned: ") + failed.what());
  }
}

}  // namespace matview::views
