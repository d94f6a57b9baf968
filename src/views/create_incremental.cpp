#include "store/catalog.hpp"
#include "store/incremental.hpp"
#include "store/migrations.hpp"
#include "text/quote.hpp"
#include "views/compilation.hpp"
#include "views/create.hpp"
#include "views/incremental_parts.hpp"
#include "views/operation.hpp"
#include "views/patience.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

namespace matview::views {

namespace {

// What the first transaction leaves to the second one.
struct prepared_view {
  int id = 0;
  std::optional<refresh_report> there;  // The view was there already.
  std::optional<incremental::refusal> refusal;
  std::string mechanism;
};

void check(pg::connection& on, const create_request& request) {
  if (on.transaction_status() != PQTRANS_IDLE) {
    throw error(
        errc::invalid_option,
        "an incremental view cannot be made inside a transaction: what writers do while its "
        "triggers are made must be seen before it is filled",
        {.hint = "commit first"});
  }
  if (!request.options.with_data && request.options.kind == view_kind::incremental) {
    throw error(errc::invalid_option,
                "an incremental view cannot be made without data: whoever reads it would find it "
                "empty",
                {.hint = "leave --no-data out, or make it native"});
  }
}

asio::awaitable<void> make_definition(pg::transaction& in, const std::string& preamble,
                                      const create_request& request, int id) {
  const std::string head = fmt::format("CREATE VIEW matview.definition_{} AS ", id);
  std::optional<error> failure;
  try {
    // The names in it are looked up as the session does it; afterwards everything has its schema.
    co_await in.run(preamble + head + request.query.text() + "\n; SET LOCAL search_path = ''");
  } catch (const error& failed) {
    failure = in_query(failed, request.query, preamble.size() + head.size());
  }
  if (failure) throw error(*failure);
}

// Before all the work, and in the server's words if it is not there.
asio::awaitable<void> check_schema(pg::transaction& in, const identifier& view) {
  const std::string schema = view.schema().empty() ? std::string("pg_catalog.current_schema()")
                                                   : text::sql_literal(view.schema());
  const auto may = co_await in.run(
      fmt::format("SELECT pg_catalog.has_schema_privilege({0}, 'CREATE'), {0}", schema));
  if (may.back().is_null(0, 0)) {
    throw error(errc::invalid_option, "no schema of the search_path is there to make the view in",
                {.sqlstate = "3F000", .hint = "name one: SCHEMA.NAME"});
  }
  if (!may.back().boolean(0, 0)) {
    throw error(errc::permission_denied,
                fmt::format("this role may not make views in schema {}", may.back().text(0, 1)),
                {.sqlstate = "42501", .hint = "its owner may GRANT CREATE ON SCHEMA to it"});
  }
}

asio::awaitable<prepared_view> prepare_in(pg::transaction& in, std::string preamble,
                                          const create_request& request) {
  pg::connection& on = in.on();
  prepared_view out;
  out.there = co_await there_already(in, preamble, request.view);
  if (out.there) {
    if (request.options.if_not_exists) co_return out;
    throw error(
        errc::view_exists, fmt::format("{} is there already", out.there->view),
        {.sqlstate = "42P07",
         .hint = "drop it first, or create it only if it does not exist (--if-not-exists)"});
  }
  co_await check_schema(in, request.view);
  out.id = co_await store::next_incremental_id(on);
  co_await make_definition(in, preamble, request, out.id);
  const parts_made made = co_await make_parts(in, out.id, parts_to_make::all);
  if (made.refusal) {
    out.refusal = made.refusal;
    co_return out;
  }
  out.mechanism = made.view->mechanism;
  std::string rest;
  for (const checked_index& index : request.indexes) {
    rest += index.create_on_storage(fmt::format("matview.storage_{}", out.id), *made.view) + "; ";
  }
  if (!request.options.comment.empty()) {
    rest += fmt::format("COMMENT ON VIEW matview.matview_new_{} IS {}; ", out.id,
                        text::sql_literal(request.options.comment));
  }
  if (!rest.empty()) co_await in.run(std::move(rest));
  co_return out;
}

// PostgreSQL refuses a definition that reads a temporary table without saying which; a temporary
// view may.
asio::awaitable<std::optional<incremental::refusal>> temporary_table(
    pg::connection& on, const create_request& request) {
  pg::transaction in(on);
  std::optional<incremental::refusal> out;
  try {
    const std::string query(request.query.text());
    const auto made = co_await in.run(
        "CREATE TEMPORARY VIEW matview_new AS " + query +
        "\n; SELECT 'pg_temp.matview_new'::pg_catalog.regclass::pg_catalog.oid::pg_catalog.int8; "
        "SET LOCAL search_path = ''");
    const store::query_facts facts = co_await facts_of(on, made.at(1).integer(0, 0));
    out = incremental::early_refusal(facts);
  } catch (const error&) {
    out = std::nullopt;  // The server's own words will do.
  }
  co_await in.rollback();
  co_return out;
}

asio::awaitable<refresh_report> publish_in(pg::transaction& in, const std::string& preamble,
                                           const create_request& request, int id) {
  co_await in.run("SET TRANSACTION ISOLATION LEVEL READ COMMITTED; " + preamble);
  co_await fill_new(in, id);
  const std::string schema = request.view.schema().empty()
                                 ? std::string("current_schema()")
                                 : text::sql_literal(request.view.schema());
  const auto where = co_await in.run(fmt::format(
      "SELECT pg_catalog.quote_ident(n.nspname), n.nspname FROM pg_catalog.pg_namespace n WHERE "
      "n.nspname = {}",
      schema));
  const std::string quoted = where.back().string(0, 0);
  const auto size = co_await in.run(
      fmt::format("ALTER VIEW matview.matview_new_{0} SET SCHEMA {1}; "
                  "ALTER VIEW {1}.matview_new_{0} RENAME TO \"{2}\"; "
                  "SELECT pg_catalog.pg_total_relation_size('matview.storage_{0}'), "
                  "(SELECT pg_catalog.count(*) FROM {1}.\"{2}\")",
                  id, quoted, request.view.name()));
  refresh_report report;
  report.view = fmt::format("{}.{}", where.back().text(0, 1), request.view.name());
  report.mode = refresh_mode::full;
  report.incremental = true;
  report.rows = size.back().integer(0, 1);  // A row of the storage may stand for many, or for none.
  report.bytes = size.back().integer(0, 0);
  co_return report;
}

}  // namespace

asio::awaitable<incremental_creation> create_incremental(pg::connection& on,
                                                         const create_request& request) {
  check(on, request);
  if (!request.options.with_data) {
    incremental_creation native;
    native.why_not = "it is made without data";
    co_return native;
  }
  const stopwatch watch;
  co_await store::migrate(on);
  co_await tidy(on);
  const attempt tried{attempt::kind::create, request.view, request.settings, watch.began()};
  std::optional<prepared_view> prepared;
  std::optional<incremental::refusal> refusal;
  const auto prepare = [&](pg::transaction& in, std::string preamble) -> asio::awaitable<bool> {
    prepared = co_await prepare_in(in, std::move(preamble), request);
    // What was made up to the refusal goes with the transaction.
    refusal = prepared->refusal;
    if (refusal) throw error(refused(*refusal, request.query.text()));
    co_return true;
  };
  // Its triggers wait for all who write into its tables, and all further writers for them.
  const bool patient = !request.options.lock_timeout;
  const auto once = [&, patient](int tries) -> asio::awaitable<bool> {
    std::string patience;
    if (patient) patience = give_way(tries) + "; ";
    const auto work = [&, patience](pg::transaction& in, const std::string& preamble) {
      return prepare(in, preamble + patience);
    };
    co_return co_await attempted(on, tried, work);
  };
  std::optional<error> failure;
  try {
    co_await patiently(last_try(patient, watch.began()), once);
  } catch (const error& failed) {
    failure = failed;
  }
  if (failure && failure->sqlstate() == "42P16" && on.usable()) {
    refusal = co_await temporary_table(on, request);
    if (refusal) failure = refused(*refusal, std::string(request.query.text()));
  }
  if (failure && refusal && request.options.kind == view_kind::automatic) {
    incremental_creation native;
    native.why_not = "it cannot be maintained incrementally: " + told(*refusal);
    co_return native;
  }
  if (failure) throw error(*failure);
  incremental_creation out;
  if (prepared->there) {
    out.made = watch.finished(std::move(*prepared->there));
    co_return out;
  }

  const auto publish = [&](pg::transaction& in, const std::string& preamble) {
    return publish_in(in, preamble, request, prepared->id);
  };
  std::optional<refresh_report> report;
  try {
    report = co_await attempted(on, tried, publish);
  } catch (const error& failed) {
    failure = failed;
  }
  if (failure) {
    if (!failure->may_have_happened() && on.usable()) co_await discard_parts(on, prepared->id);
    throw error(*failure);
  }
  report->reason = fmt::format("incremental (mechanism {}): it was filled with the query's result",
                               prepared->mechanism);
  try {
    // Else the rows that were filled in are counted after it, as if they had come since.
    if (on.server_version() >= 150000) {
      co_await on.run("SELECT pg_catalog.pg_stat_force_next_flush()");
    }
    co_await on.run(fmt::format("ANALYZE matview.storage_{}", prepared->id));
  } catch (const error& failed) {  // The view is there all the same.
    if (on.log()) on.log()(log_level::warning, std::string("not analyzed: ") + failed.what());
  }
  out.made = watch.finished(std::move(*report));
  co_return out;
}

}  // namespace matview::views
