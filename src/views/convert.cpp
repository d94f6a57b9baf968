#include "pg/conninfo.hpp"
#include "pg/transaction.hpp"
#include "store/catalog.hpp"
#include "store/conversion.hpp"
#include "store/incremental.hpp"
#include "text/quote.hpp"
#include "views/session.hpp"
#include <matview/identifier.hpp>
#include <matview/incremental.hpp>
#include <matview/views.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <optional>
#include <string>
#include <utility>

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
  return {.database = options.database,
          .indexes = old.indexes,
          .comment = old.comment,
          .statement_timeout = options.statement_timeout,
          .lock_timeout = options.lock_timeout,
          .log = options.log,
          .kind = options.to};
}

// The old one goes and the new one takes its name, owner and grants, at one moment.
asio::awaitable<bool> exchange(pg::transaction& in, const store::relation_traits& old,
                               const store::relation& there, const convert_options& options) {
  const bool to_incremental = options.to == view_kind::incremental;
  const char* word = to_incremental ? "VIEW" : "MATERIALIZED VIEW";
  const std::string schema = pg::quote_name(old.schema);
  const std::string fresh = schema + "." + beside(old);
  std::string sql = fmt::format("SET LOCAL application_name = 'matview convert'; DROP {} {}; ",
                                to_incremental ? "MATERIALIZED VIEW" : "VIEW", there.quoted);
  for (const std::string& grant : old.grants) {
    sql += fmt::format(fmt::runtime(grant), fresh) + "; ";
  }
  sql += fmt::format("ALTER {} {} RENAME TO {}; ", word, fresh, pg::quote_name(old.name));
  if (!old.owned_by_me) {
    sql += fmt::format("ALTER {} {}.{} OWNER TO {}", word, schema, pg::quote_name(old.name),
                       pg::quote_name(old.owner));
  }
  co_await in.run(std::move(sql));
  if (!to_incremental) co_await store::discard_orphans(in.on());
  co_return true;
}

asio::awaitable<convert_report> convert_on(pg::connection& on, identifier name,
                                           convert_options options) {
  const std::optional<store::relation> there = co_await store::find_relation(on, name);
  if (!there || !there->is_view()) throw error(store::no_such_view(name, there));
  store::relation_traits old =
      co_await store::read_traits(on, std::string(there->quoted), there->incremental);
  for (std::string& one : old.dependents) {
    std::string named = co_await store::named_by_users(on, std::string(one));
    one = std::move(named);
  }
  check(old, *there, options);
  convert_report out = lost_and_kept(old);
  const std::string fresh = old.schema + "." + beside(old);
  out.made = co_await acreate_matview(fresh, old.query, options_for(old, options));
  const auto swap = [&](pg::transaction& in) { return exchange(in, old, *there, options); };
  std::optional<error> failure;
  try {
    co_await pg::in_transaction(on, swap);
  } catch (const error& failed) {
    failure = failed;
  }
  if (failure) {
    const drop_options drop{.database = options.database};
    if (!failure->may_have_happened()) co_await adrop_matview(fresh, drop);
    throw error(*failure);
  }
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
