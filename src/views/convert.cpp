#include "pg/conninfo.hpp"
#include "pg/transaction.hpp"
#include "store/catalog.hpp"
#include "store/conversion.hpp"
#include "store/incremental.hpp"
#include "views/compilation.hpp"
#include "views/incremental_parts.hpp"
#include "views/incremental_session.hpp"
#include "views/patience.hpp"
#include "views/session.hpp"
#include "views/statements.hpp"
#include <matview/identifier.hpp>
#include <matview/incremental.hpp>
#include <matview/views.hpp>

#include <boost/algorithm/string/replace.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace matview {

namespace views {

namespace {

// The new one beside the old one, until they change places.
std::string beside(const store::relation_traits& old) {
  return fmt::format("matview_convert_{}", old.oid);
}

convert_report lost_and_kept(const store::relation_traits& old) {
  convert_report out;
  if (!old.grants.empty()) out.kept.push_back(fmt::format("{} grants", old.grants.size()));
  if (!old.comment.empty()) out.kept.emplace_back("comment");
  if (!old.indexes.empty()) out.kept.push_back(fmt::format("{} indexes", old.indexes.size()));
  if (!old.settings.empty()) {
    out.kept.push_back(fmt::format("{} column settings", old.settings.size()));
  }
  out.not_kept = old.lost;
  return out;
}

void check(const store::relation_traits& old, const store::relation& there,
           const convert_options& options) {
  const bool incremental = options.to == view_kind::incremental;
  if (incremental == there.incremental) {
    throw error(errc::invalid_option, fmt::format("{} is {} already", there.quoted,
                                                  incremental ? "incremental" : "native"));
  }
  if (!old.dependents.empty()) {
    throw error(
        errc::dependents_exist,
        fmt::format("{} cannot change its kind while others depend on it: {}", there.quoted,
                    fmt::join(old.dependents, ", ")),
        {.sqlstate = "2BP01",
         .hint = "drop those, convert, and create them again; PostgreSQL has no other way"});
  }
  if (!old.lost.empty() && !options.accept_losses) {
    throw error(
        errc::invalid_option,
        fmt::format("the conversion of {} would lose: {}", there.quoted, fmt::join(old.lost, "; ")),
        {.hint = "nothing was done; --accept-losses converts it all the same"});
  }
}

create_options options_for(const store::relation_traits& old, const convert_options& options) {
  std::vector<index_definition> indexes;
  indexes.reserve(old.indexes.size());
  for (const store::relation_index& index : old.indexes) indexes.push_back(index.definition);
  return {.database = options.database,
          .indexes = std::move(indexes),
          .comment = old.comment,
          .statement_timeout = options.statement_timeout,
          .lock_timeout = options.lock_timeout,
          .log = options.log,
          .kind = options.to};
}

error changed(const store::relation& there, std::string_view what) {
  return {errc::server_error,
          fmt::format("{} was changed while it was converted: {}", there.quoted, what),
          {.sqlstate = "40001", .hint = "nothing was done; convert it again"}};
}

// What `now` has that the new view was not made with. Owner, grants and comment are not among it:
// those are given to the new one last.
void refuse_changes(const store::relation_traits& old, const store::relation_traits& now,
                    const store::relation& there) {
  const auto same = [](const store::relation_index& a, const store::relation_index& b) {
    return a.definition.columns == b.definition.columns &&
           a.definition.unique == b.definition.unique;
  };
  if (now.oid != old.oid) throw error(changed(there, "it was made anew"));
  if (now.query != old.query) throw error(changed(there, "its query or its columns"));
  if (!std::ranges::equal(now.indexes, old.indexes, same)) {
    throw error(changed(there, "its indexes"));
  }
}

using stored_columns = std::vector<store::stored_column>;

// Without what cannot be known, indexes on it are among the losses.
asio::awaitable<stored_columns> stored_columns_of(pg::connection& on,
                                                  const store::relation& there) {
  stored_columns out;
  if (!there.incremental) co_return out;
  pg::transaction in(on);
  std::optional<error> failure;
  try {
    co_await in.run("SET LOCAL search_path = ''");
    const incremental_names view = co_await names_of_quoted(on, std::string(there.quoted));
    const std::int64_t definition =
        co_await store::oid_in_schema(on, fmt::format("definition_{}", view.id));
    store::query_facts facts = co_await facts_of(on, definition);
    const compilation compiled = co_await compile_on(on, std::move(facts), parts_of(view.id));
    if (compiled.view() != nullptr) {
      out = co_await store::read_keys(on, view.id, compiled.view()->stored);
    }
  } catch (const error& failed) {
    failure = failed;
  }
  if (failure && !failure->connection_usable()) throw error(*failure);
  co_await in.rollback();
  if (failure && failure->code() != errc::permission_denied) throw error(*failure);
  co_return out;
}

asio::awaitable<store::relation_traits> traits_of(pg::connection& on, std::string quoted,
                                                  std::string name, bool incremental,
                                                  const stored_columns& stored) {
  store::relation_traits out =
      co_await store::read_traits(on, std::move(quoted), std::move(name), incremental, stored);
  for (std::string& one : out.dependents) {
    std::string named = co_await store::named_by_users(on, std::string(one));
    one = std::move(named);
  }
  co_return out;
}

asio::awaitable<void> refuse_another(pg::connection& on, const store::relation_traits& old,
                                     const store::relation& there) {
  const std::int64_t now =
      co_await store::oid_of(on, std::string(old.schema), std::string(old.name));
  if (now == 0) {
    throw error(errc::view_not_found,
                fmt::format("{} was dropped while it was converted", there.quoted));
  }
  if (now != old.oid) throw error(changed(there, "it was made anew"));
}

// Begins the transaction that the exchange ends. Until then it waits for the new one to be filled,
// and holds nothing but the turn.
asio::awaitable<void> begin_turn(pg::transaction& in, const store::relation_traits& old,
                                 const store::relation& there, const convert_options& options) {
  const statement_settings settings("matview convert", options.statement_timeout,
                                    options.lock_timeout);
  co_await in.run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED; " + settings.set_local(false) +
                  "SET LOCAL idle_in_transaction_session_timeout = 0");
  const bool mine = co_await store::take_turn(in.on(), old.oid);
  if (!mine) {
    throw error(errc::already_refreshing,
                fmt::format("another conversion of {} is running", there.quoted),
                {.hint = "nothing was done; wait for its end"});
  }
  co_await refuse_another(in.on(), old, there);
}

// The old one goes and the new one takes its place, with what the old one has now. It was read
// minutes ago, so it is read again, under the lock that the DROP needs; a rename takes it, LOCK
// TABLE knows no materialized views.
asio::awaitable<store::relation_traits> exchange(
    pg::transaction& in, const store::relation_traits& old, const store::relation& there,
    const convert_options& options, const stored_columns& stored, std::string patience) {
  const bool to_incremental = options.to == view_kind::incremental;
  const char* before = to_incremental ? "MATERIALIZED VIEW" : "VIEW";
  const char* after = to_incremental ? "VIEW" : "MATERIALIZED VIEW";
  const std::string schema = pg::quote_name(old.schema);
  const std::string aside = fmt::format("matview_converted_{}", old.oid);
  co_await in.run("SELECT");  // From here on it can be undone.
  co_await refuse_another(in.on(), old, there);
  std::vector<int> ending;
  if (!to_incremental) {
    ending = co_await begin_the_end(in, std::string(there.quoted), false, std::move(patience));
  } else if (!patience.empty()) {
    co_await in.run(std::move(patience));
  }
  co_await in.run(fmt::format("ALTER {} {} RENAME TO {}", before, there.quoted, aside));
  co_await in.run(hardly_wait);
  store::relation_traits now = co_await traits_of(in.on(), fmt::format("{}.{}", schema, aside),
                                                  std::string(old.name), there.incremental, stored);
  for (std::string& one : now.dependents) boost::algorithm::replace_all(one, aside, old.name);
  if (to_incremental) {
    co_await store::lose_what_is_not_stored(
        in.on(), fmt::format("{}.{}", schema, pg::quote_name(beside(old))), now);
  }
  check(now, there, options);
  refuse_changes(old, now, there);
  co_await in.run(fmt::format("DROP {} {}.{}; ALTER {} {}.{} RENAME TO {}", before, schema, aside,
                              after, schema, beside(old), pg::quote_name(old.name)));
  co_await store::give_traits(in.on(), std::string(there.quoted), to_incremental, now);
  co_await store::rename_columns(in.on(), std::string(there.quoted), now.renamed);
  if (!ending.empty()) co_await store::discard_all(in.on(), std::move(ending));
  co_return now;
}

// What was filled for minutes is not to be filled again as a reader was in the way at the end.
asio::awaitable<store::relation_traits> exchange_patiently(pg::connection& on,
                                                           const store::relation_traits& old,
                                                           const store::relation& there,
                                                           const convert_options& options,
                                                           const stored_columns& stored) {
  const bool patient = !options.lock_timeout;
  const auto once = [&, patient](int tries) -> asio::awaitable<store::relation_traits> {
    std::string patience;
    if (patient) patience = give_way(tries);
    const auto work = [&, patience](pg::transaction& in) {
      return exchange(in, old, there, options, stored, patience);
    };
    co_return co_await pg::in_transaction(on, work);  // A savepoint: the turn stays ours.
  };
  co_return co_await patiently(last_try(patient), once, 0);
}

// Whatever stands there was left by a conversion that was killed: the turn is ours.
asio::awaitable<void> remove_leftover(pg::connection& on, const store::relation_traits& old,
                                      const convert_options& options) {
  const std::int64_t left = co_await store::oid_of(on, std::string(old.schema), beside(old));
  if (left == 0) co_return;
  const drop_options drop{.database = options.database,
                          .statement_timeout = options.statement_timeout,
                          .lock_timeout = options.lock_timeout,
                          .log = options.log};
  co_await adrop_matview(old.schema + "." + beside(old), drop);
}

// The new one that has no use any more. If it cannot be dropped, the next conversion does it.
asio::awaitable<void> discard(std::string fresh, const convert_options& options) {
  const drop_options drop{.database = options.database};
  try {
    co_await adrop_matview(fresh, drop);
  } catch (const error& failed) {
    if (options.log) {
      options.log(log_level::warning, fmt::format("{} was left behind: {}", fresh, failed.what()));
    }
  }
}

asio::awaitable<convert_report> convert_on(pg::connection& on, identifier name,
                                           convert_options options) {
  const std::optional<store::relation> there = co_await store::find_relation(on, name);
  if (!there || !there->is_view()) throw error(store::no_such_view(name, there));
  if (!there->parts_of_another.empty()) {
    throw error(store::parts_refused(
        *there,
        {errc::permission_denied, "to convert it is for that role", {.sqlstate = "42501"}}));
  }
  const stored_columns stored = co_await stored_columns_of(on, *there);
  const store::relation_traits old =
      co_await traits_of(on, std::string(there->quoted), std::string(), there->incremental, stored);
  check(old, *there, options);
  const std::string fresh = old.schema + "." + beside(old);
  std::optional<refresh_report> made;
  const auto work = [&](pg::transaction& in) -> asio::awaitable<convert_report> {
    co_await begin_turn(in, old, *there, options);
    co_await remove_leftover(in.on(), old, options);
    made = co_await acreate_matview(fresh, old.query, options_for(old, options));
    const store::relation_traits now =
        co_await exchange_patiently(in.on(), old, *there, options, stored);
    co_return lost_and_kept(now);
  };
  std::optional<error> failure;
  convert_report out;
  try {
    out = co_await pg::in_transaction(on, work);
  } catch (const error& failed) {
    failure = failed;
  }
  if (failure) {
    if (made && !failure->may_have_happened()) co_await discard(std::string(fresh), options);
    throw error(*failure);
  }
  if (options.to == view_kind::native) co_await tidy(on);
  out.made = std::move(*made);
  out.made.view = fmt::format("{}.{}", old.schema, old.name);
  co_return out;
}

asio::awaitable<convert_report> convert_anywhere(std::string name, convert_options options) {
  const identifier view = identifier::parse(name);
  if (options.to == view_kind::automatic) {
    throw error(errc::invalid_option, "a view is converted to incremental or to native");
  }
  session where{std::nullopt, options.database, options.log};
  const auto work = [&](pg::connection& on) { return convert_on(on, view, options); };
  co_return co_await on_session(std::move(where), work);
}

}  // namespace

}  // namespace views

asio::awaitable<convert_report> aconvert_matview(std::string_view name, convert_options options) {
  return views::isolated(views::convert_anywhere(std::string(name), std::move(options)));
}

convert_report convert_matview(std::string_view name, const convert_options& options) {
  return pg::run_sync(aconvert_matview(name, options));
}

}  // namespace matview
