#include "views/create.hpp"

#include "pg/transaction.hpp"
#include "store/catalog.hpp"
#include "text/select_query.hpp"
#include "views/operation.hpp"
#include "views/session.hpp"
#include "views/statements.hpp"
#include <matview/error.hpp>
#include <matview/identifier.hpp>
#include <matview/views.hpp>

#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace matview {

namespace views {

namespace {

create_request checked(std::string_view name, std::string_view select_sql, create_options options) {
  identifier view = identifier::parse(name);
  text::select_query query = text::select_query::parse(select_sql);
  std::vector<checked_index> indexes;
  for (const index_definition& index : options.indexes) indexes.emplace_back(index);
  statement_settings settings("matview create " + view.text(), options.statement_timeout,
                              options.lock_timeout);
  return {std::move(view), std::move(query), std::move(indexes), std::move(options),
          std::move(settings)};
}

}  // namespace

error in_query(const error& failed, const text::select_query& query, std::size_t offset) {
  const auto position = failed.position();
  if (!position || *position <= offset) return failed;
  const std::size_t within = *position - offset;
  return {failed.code(),
          text::with_caret(failed.what(), query.text(), within),
          {.sqlstate = failed.sqlstate(),
           .hint = failed.hint(),
           .position = within,
           .connection_usable = failed.connection_usable()}};
}

namespace {

// What belongs to the view once it is there, and its size.
asio::awaitable<pg::result> finish_view(pg::transaction& in, std::string sql) {
  std::optional<error> failure;
  try {
    std::vector<pg::result> results = co_await in.run(std::move(sql));
    co_return std::move(results.back());
  } catch (const error& failed) {
    failure = failed;
  }
  if (failure->sqlstate().empty() || !failure->connection_usable()) throw error(*failure);
  throw error(failure->code(), fmt::format("an index of the view was refused: {}", failure->what()),
              {.sqlstate = failure->sqlstate(), .hint = failure->hint()});
}

}  // namespace

asio::awaitable<std::optional<refresh_report>> there_already(pg::transaction& in,
                                                             const std::string& preamble,
                                                             const identifier& view) {
  const auto results = co_await in.run(preamble + relation_in_place(view));
  const pg::result& there = results.back();
  if (there.rows() == 0) co_return std::nullopt;
  const std::string quoted = there.string(0, 0);
  const char kind = there.text(0, 1).front();
  const bool incremental = there.boolean(0, 2);
  if (kind != 'm' && !incremental) {
    throw error(errc::view_exists,
                fmt::format("{} is there already: {}", quoted, store::kind_name(kind)),
                {.sqlstate = "42P07", .hint = "choose another name"});
  }
  const auto size = co_await in.run(measure(quoted));
  if (incremental) {
    refresh_report report =
        measured(size.back(), refresh_mode::none,
                 "it was there already, as an incremental view, and is left as it is");
    report.incremental = true;
    if (!there.is_null(0, 3)) report.bytes = there.integer(0, 3);
    co_return report;
  }
  co_return measured(size.back(), refresh_mode::none, "it was there already and is left as it is");
}

namespace {

asio::awaitable<refresh_report> create_in(pg::transaction& in, const std::string& preamble,
                                          const create_request& request) {
  const create_options& options = request.options;
  std::string before = preamble;
  if (options.if_not_exists) {
    std::optional<refresh_report> there = co_await there_already(in, preamble, request.view);
    if (there) co_return std::move(*there);
    before.clear();
  }
  const create_statement statement = create(request.view, request.query, options.with_data);
  std::vector<pg::result> results;
  std::optional<error> failure;
  try {
    results = co_await in.run(before + statement.sql + "; " + relation_in_place(request.view));
  } catch (const error& failed) {
    failure = in_query(failed, request.query, before.size() + statement.query_offset);
  }
  if (failure) throw error(*failure);

  const pg::result& created = results.at(results.size() - 2);
  const pg::result& now = results.back();
  if (now.rows() == 0) throw error(errc::server_error, "the view vanished while it was created");
  const std::string quoted = now.string(0, 0);

  std::string rest;
  for (const checked_index& index : request.indexes) rest += index.create_on(quoted) + "; ";
  if (!options.comment.empty()) rest += comment(quoted, options.comment) + "; ";
  const pg::result size = co_await finish_view(in, rest + measure(quoted));
  if (!options.with_data) {
    co_return measured(size, refresh_mode::none, "it was created without data");
  }
  refresh_report report =
      measured(size, refresh_mode::full, "it was created with the query's result");
  report.rows = created.affected();
  co_return report;
}

asio::awaitable<refresh_report> create_once(pg::connection& on, const create_request& request) {
  const stopwatch watch;
  const attempt tried{attempt::kind::create, request.view, request.settings, watch.began()};
  const auto work = [&](pg::transaction& in, const std::string& preamble) {
    return create_in(in, preamble, request);
  };
  refresh_report report = co_await attempted(on, tried, work);
  co_return watch.finished(std::move(report));
}

asio::awaitable<refresh_report> create_on(pg::connection& on, const create_request& request) {
  if (!on.reads_as_we_do(request.query.text())) {
    throw error(errc::invalid_option,
                "this connection's settings would make the server read the query differently from "
                "how it was checked",
                {.hint = "SET standard_conforming_strings = on; SET client_encoding = 'UTF8';"});
  }
  std::string why_native;
  if (request.options.kind != view_kind::native) {
    incremental_creation made = co_await create_incremental(on, request);
    if (made.made) co_return std::move(*made.made);
    why_native = std::move(made.why_not);
  }
  try {
    refresh_report report = co_await create_once(on, request);
    if (!why_native.empty()) report.reason = "native, since " + why_native + "; " + report.reason;
    co_return report;
  } catch (const error& failed) {
    if (!request.options.if_not_exists || failed.code() != errc::view_exists) throw;
  }
  // Another session created it between the look and the CREATE.
  co_return co_await create_once(on, request);
}

asio::awaitable<refresh_report> create_anywhere(std::optional<PGconn*> borrowed, std::string name,
                                                std::string select_sql, create_options options) {
  const create_request request = checked(name, select_sql, std::move(options));
  session where{borrowed, request.options.database, request.options.log};
  const auto work = [&](pg::connection& on) { return create_on(on, request); };
  co_return co_await on_session(std::move(where), work);
}

}  // namespace

}  // namespace views

asio::awaitable<refresh_report> acreate_matview(std::string_view name, std::string_view select_sql,
                                                create_options options) {
  return views::isolated(views::create_anywhere(std::nullopt, std::string(name),
                                                std::string(select_sql), std::move(options)));
}

asio::awaitable<refresh_report> acreate_matview(PGconn* connection, std::string_view name,
                                                std::string_view select_sql,
                                                create_options options) {
  return views::isolated(views::create_anywhere(connection, std::string(name),
                                                std::string(select_sql), std::move(options)));
}

refresh_report create_matview(std::string_view name, std::string_view select_sql,
                              const create_options& options) {
  return pg::run_sync(acreate_matview(name, select_sql, options));
}

refresh_report create_matview(PGconn* connection, std::string_view name,
                              std::string_view select_sql, const create_options& options) {
  return pg::run_sync(acreate_matview(connection, name, select_sql, options));
}

}  // namespace matview
