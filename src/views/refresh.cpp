#include "views/refresh.hpp"

#include "pg/transaction.hpp"
#include "views/operation.hpp"
#include "views/session.hpp"
#include "views/statements.hpp"
#include <matview/error.hpp>
#include <matview/identifier.hpp>
#include <matview/views.hpp>

#include <optional>
#include <string>
#include <utility>

namespace matview {

namespace views {

namespace {

struct refresh_request {
  identifier view;
  refresh_options options;
  statement_settings settings;
};

refresh_request checked(std::string_view name, refresh_options options) {
  identifier view = identifier::parse(name);
  statement_settings settings("matview refresh " + view.text(), options.statement_timeout,
                              options.lock_timeout);
  return {std::move(view), std::move(options), std::move(settings)};
}

asio::awaitable<refresh_report> refresh_in(pg::transaction& in, const std::string& preamble,
                                           const refresh_request& request) {
  const bool concurrently = request.options.concurrently;
  const std::string before = concurrently ? "" : rows_inserted(request.view) + "; ";
  const auto results = co_await in.run(preamble + before + refresh(request.view, concurrently) +
                                       "; " + measure(request.view.quoted()));
  const pg::result& after = results.back();
  refresh_report report =
      measured(after, concurrently ? refresh_mode::concurrently : refresh_mode::full,
               concurrently ? "asked for concurrently" : "asked for without concurrently");
  if (!request.options.count_rows) co_return report;
  if (!concurrently && !after.is_null(0, 3)) {
    report.rows = after.integer(0, 3) - results.at(results.size() - 3).integer(0, 0);
  } else if (after.boolean(0, 4)) {  // MAINTAIN is a right to refresh, not to read.
    const auto scan = co_await in.run(count_rows(request.view.quoted()));
    report.rows = scan.back().integer(0, 0);
  }
  co_return report;
}

asio::awaitable<refresh_report> refresh_on(pg::connection& on, const refresh_request& request) {
  const stopwatch watch;
  const attempt tried{
      request.options.concurrently ? attempt::kind::refresh_concurrently : attempt::kind::refresh,
      request.view, request.settings, watch.began()};
  const auto work = [&](pg::transaction& in, const std::string& preamble) {
    return refresh_in(in, preamble, request);
  };
  refresh_report report = co_await attempted(on, tried, work);
  co_return watch.finished(std::move(report));
}

}  // namespace

asio::awaitable<refresh_report> refresh_on(pg::connection& on, std::string name,
                                           refresh_options options) {
  const refresh_request request = checked(name, std::move(options));
  co_return co_await refresh_on(on, request);
}

namespace {

asio::awaitable<refresh_report> refresh_anywhere(std::optional<PGconn*> borrowed, std::string name,
                                                 refresh_options options) {
  const refresh_request request = checked(name, std::move(options));
  session where{borrowed, request.options.database, request.options.log};
  const auto work = [&](pg::connection& on) { return refresh_on(on, request); };
  co_return co_await on_session(std::move(where), work);
}

}  // namespace

}  // namespace views

asio::awaitable<refresh_report> arefresh_matview(std::string_view name, refresh_options options) {
  return views::isolated(
      views::refresh_anywhere(std::nullopt, std::string(name), std::move(options)));
}

asio::awaitable<refresh_report> arefresh_matview(PGconn* connection, std::string_view name,
                                                 refresh_options options) {
  return views::isolated(
      views::refresh_anywhere(connection, std::string(name), std::move(options)));
}

refresh_report refresh_matview(std::string_view name, const refresh_options& options) {
  return pg::run_sync(arefresh_matview(name, options));
}

refresh_report refresh_matview(PGconn* connection, std::string_view name,
                               const refresh_options& options) {
  return pg::run_sync(arefresh_matview(connection, name, options));
}

}  // namespace matview
