#include "views/diagnosis.hpp"

#include "pg/transaction.hpp"
#include "store/catalog.hpp"
#include "text/quote.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <optional>
#include <string>
#include <utility>

namespace matview::views {

namespace {

using kind = attempt::kind;

// How long the search for columns of a unique index may take: a message must not cost a scan of
// everything.
constexpr int proposal_limit_ms = 1'000;

error changed(const error& failed, errc code, const std::string& message, std::string hint) {
  return {code,
          message,
          {.sqlstate = failed.sqlstate(),
           .hint = std::move(hint),
           .position = failed.position(),
           .connection_usable = failed.connection_usable()}};
}

error not_found(const attempt& tried, const error& failed,
                const std::optional<store::relation>& there) {
  if (!there) {
    return changed(failed, errc::view_not_found,
                   fmt::format("there is no materialized view {}", tried.view.quoted()),
                   "matview list shows those there are; names are case-sensitive");
  }
  return changed(
      failed, errc::view_not_found,
      fmt::format("{} is {}, not a materialized view", there->quoted, there->described()), "");
}

asio::awaitable<error> concurrent_refusal(pg::connection& on, const error& failed,
                                          const store::relation& view) {
  if (!view.populated) {
    co_return changed(
        failed, errc::not_populated,
        fmt::format("{} holds no data yet, so it cannot be refreshed concurrently", view.quoted),
        "refresh it once without CONCURRENTLY (on the command line, without --concurrently)");
  }
  if (view.unique_index) co_return failed;
  const std::vector<std::string> columns =
      co_await store::unique_columns(on, view, proposal_limit_ms);
  co_return changed(
      failed, errc::needs_unique_index,
      fmt::format("{} cannot be refreshed concurrently without a unique index", view.quoted),
      columns.empty()
          ? fmt::format("CREATE UNIQUE INDEX ON {} (...); with the columns that tell its rows "
                        "apart, without WHERE and without expressions",
                        view.quoted)
          : fmt::format("CREATE UNIQUE INDEX ON {} ({}); -- its rows now differ there", view.quoted,
                        fmt::join(columns, ", ")));
}

error permission(const attempt& tried, const error& failed,
                 const std::optional<store::relation>& there, int server_version) {
  if (there && !there->may_act_as_owner && tried.what != kind::create) {
    std::string hint = fmt::format("run as {}, or as a member of that role", there->owner);
    if (server_version >= 170000 && tried.what != kind::drop) {
      hint += fmt::format(", or GRANT MAINTAIN ON {} to your role", there->quoted);
    }
    return changed(failed, errc::permission_denied,
                   fmt::format("{} belongs to {}: {}", there->quoted, there->owner, failed.what()),
                   std::move(hint));
  }
  if (!failed.hint().empty()) return failed;
  if (there && !there->parts_of_another.empty()) return store::parts_refused(*there, failed);
  if (tried.what == kind::drop) {
    return changed(failed, errc::permission_denied, failed.what(),
                   "run as the owner of that, or as a member of that role");
  }
  return changed(failed, errc::permission_denied, failed.what(),
                 tried.what == kind::create
                     ? "the role needs CREATE on the schema and SELECT on what the query reads"
                     : "the view's owner needs SELECT on what the view's query reads");
}

asio::awaitable<error> lock_refusal(pg::connection& on, const attempt& tried, const error& failed) {
  const std::vector<std::string> holders = co_await store::lock_holders(on, tried.view);
  const std::string told =
      holders.empty() ? fmt::format("no lock within lock_timeout on {} or on what it is made from",
                                    tried.view.quoted())
                      : fmt::format("{} is locked: no lock within lock_timeout (held by {})",
                                    tried.view.quoted(), fmt::join(holders, "; "));
  co_return changed(failed, errc::lock_timeout, told,
                    "try again later, or with a longer lock_timeout");
}

// 57014 is both an operator's pg_cancel_backend() and a timeout, and its text is translated.
asio::awaitable<error> interruption(pg::connection& on, const attempt& tried, const error& failed) {
  std::optional<long> limit_ms = tried.settings.statement_timeout();
  if (!limit_ms) {
    const pg::result setting = co_await on.query(
        "select setting from pg_catalog.pg_settings where name = 'statement_timeout'");
    limit_ms = setting.integer(0, 0);
  }
  const auto ran = std::chrono::steady_clock::now() - tried.began;
  if (*limit_ms > 0 && ran >= std::chrono::milliseconds(*limit_ms)) {
    co_return changed(failed, errc::statement_timeout,
                      fmt::format("{} ran longer than its statement_timeout of {} ms and was "
                                  "stopped",
                                  tried.view.quoted(), *limit_ms),
                      "the view is as it was; allow more time");
  }
  co_return changed(failed, errc::cancelled,
                    fmt::format("the server was asked to cancel it: {}", failed.what()),
                    "the view is as it was");
}

error taken(const error& failed, const std::optional<store::relation>& there) {
  return changed(failed, errc::view_exists,
                 there ? fmt::format("{} is there already: {}", there->quoted, there->described())
                       : std::string(failed.what()),
                 there && there->is_view() ? "drop it first, or create it only if it does not "
                                             "exist (--if-not-exists)"
                                           : "choose another name");
}

// A function in the view's query whose names are looked up by a search_path that REFRESH does not
// use (since 17).
std::string broken_query_hint(int server_version) {
  if (server_version < 170000) return "the view's query does not run any more";
  return "the view's query does not run: since PostgreSQL 17 it looks names up in pg_catalog "
         "only, so functions that it calls must name their tables with the schema or have "
         "SET search_path";
}

// A domain in the query may have a CHECK of its own.
bool names_storage(const error& failed) {
  return std::string_view(failed.what()).find("\"storage_") != std::string_view::npos;
}

// The table of schema matview that has the number already; nothing if it is another one.
std::string behind_its_sequence(const error& failed) {
  if (failed.sqlstate() != "23505") return {};
  for (const std::string_view one :
       {"change_log", "incremental", "job", "refresh", "skipped_tick", "worker"}) {
    const std::string key = fmt::format("\"{}_pkey\"", one);
    if (std::string_view(failed.what()).find(key) != std::string_view::npos) {
      return std::string(one);
    }
  }
  return {};
}

bool unknown_name(std::string_view state) {
  return state == "42P01" || state == "42883" || state == "42703" || state == "3F000";
}

asio::awaitable<error> explain(pg::connection& on, const attempt& tried, const error& failed) {
  const std::string& state = failed.sqlstate();
  if (state == "57014") co_return co_await interruption(on, tried, failed);
  if (state == "25006") {
    co_return changed(failed, failed.code(), failed.what(),
                      "this is a standby, or the session is read-only: ask the primary");
  }
  if (state == "55P03") co_return co_await lock_refusal(on, tried, failed);
  const std::optional<store::relation> there = co_await store::find_relation(on, tried.view);
  if (state == "42501") co_return permission(tried, failed, there, on.server_version());
  if (tried.what == kind::create) {
    // 42710: a type has the name, which each relation needs for its row type. That and 23505, from
    // the catalog's own unique index, are also what a session sees that comes second in a race.
    if (state == "42P07" || state == "42710" || (state == "23505" && there)) {
      co_return taken(failed, there);
    }
    if (state == "3F000" && !tried.view.schema().empty()) {
      co_return changed(failed, failed.code(), failed.what(),
                        fmt::format("CREATE SCHEMA \"{}\";", tried.view.schema()));
    }
    // Without a position the name stands in a function that the query calls, not in the query; an
    // unknown column (42703) may also be an index's.
    if (unknown_name(state) && state != "42703" && !failed.position() &&
        on.server_version() >= 170000) {
      co_return changed(failed, failed.code(), failed.what(),
                        broken_query_hint(on.server_version()));
    }
    co_return failed;
  }
  if (const std::string table = behind_its_sequence(failed); !table.empty()) {
    co_return changed(
        failed, failed.code(), failed.what(),
        fmt::format("the sequence of matview.{0} is behind its rows, as after a switch-over by "
                    "logical replication, which leaves sequences out: SELECT setval("
                    "pg_get_serial_sequence('matview.{0}', 'id'), max(id)) FROM matview.{0}",
                    table));
  }
  if (!there || !there->is_view()) co_return not_found(tried, failed, there);
  if (tried.what == kind::refresh_concurrently && !there->incremental &&
      (state == "0A000" || state == "55000")) {
    co_return co_await concurrent_refusal(on, failed, *there);
  }
  if (state == "21000" || state == "23505" ||
      (state == "23514" && there->incremental && names_storage(failed))) {
    co_return changed(failed, failed.code(), failed.what(),
                      "the view's query now yields rows that a unique index of the view forbids; "
                      "the view is as it was");
  }
  // Those of an incremental view are looked up by the search_path of matview.refresh().
  if (unknown_name(state) && !there->incremental) {
    co_return changed(failed, failed.code(), failed.what(), broken_query_hint(on.server_version()));
  }
  if (state == "2BP01") {
    co_return changed(failed, failed.code(), failed.what(),
                      "drop those first, or drop them with it (--cascade)");
  }
  co_return failed;
}

}  // namespace

asio::awaitable<error> diagnose(pg::connection& on, attempt tried, error failed) {
  if (failed.sqlstate().empty() || !on.usable() || failed.code() == errc::in_doubt) {
    co_return failed;
  }
  // In a caller's own transaction a question that fails must not spoil it.
  pg::transaction questions(on);
  std::optional<error> answer;
  try {
    if (questions.nested()) co_await questions.run("SELECT");
    answer = co_await explain(on, tried, failed);
  } catch (const error&) {
    // What it wanted to know cannot be had (no rights, connection gone): the first error stands.
    answer = failed;
  }
  co_await questions.rollback();
  co_return *answer;
}

}  // namespace matview::views
