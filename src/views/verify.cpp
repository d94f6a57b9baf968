#include "pg/transaction.hpp"
#include "store/incremental.hpp"
#include "views/incremental_parts.hpp"
#include "views/incremental_session.hpp"
#include "views/one_refresh.hpp"
#include "views/patience.hpp"
#include "views/session.hpp"
#include "views/statements.hpp"
#include <matview/identifier.hpp>
#include <matview/incremental.hpp>

#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>

namespace matview {

namespace views {

namespace {

constexpr std::string_view difference = R"(
  WITH missing AS MATERIALIZED (SELECT {3} FROM {1} EXCEPT ALL SELECT {3} FROM {0} AS v ({4})),
  unexpected AS MATERIALIZED (SELECT {3} FROM {0} AS v ({4}) EXCEPT ALL SELECT {3} FROM {1})
  SELECT (SELECT count(*) FROM missing), (SELECT count(*) FROM unexpected), s.word
  FROM (SELECT NULL AS word
        UNION ALL (SELECT 'missing ' || m::text FROM missing AS m LIMIT {2})
        UNION ALL (SELECT 'unexpected ' || u::text FROM unexpected AS u LIMIT {2})) AS s)";

// Applies what has not been applied yet and compares, all on the snapshot of the transaction.
asio::awaitable<verify_report> compare_in(pg::transaction& in, const incremental_names& view,
                                          const verify_options& options) {
  const statement_settings settings("matview verify", options.statement_timeout,
                                    options.lock_timeout);
  co_await begin_on_one_snapshot(in, view.bases, settings);
  const store::incremental_refresh applied =
      co_await store::run_refresh(in.on(), std::string(view.quoted), std::string("auto"), true);
  verify_report out;
  out.view = view.shown;
  if (applied.mode == "recompile") throw recompile_needed{applied.reason};
  const store::compared_columns columns = co_await store::columns_to_compare(in.on(), view.id);
  // The query means what it meant when the view was made.
  const auto found = co_await in.run(
      fmt::format("SELECT pg_catalog.set_config(s.key, s.value, true) FROM matview.incremental i, "
                  "pg_catalog.jsonb_each_text(i.settings) s WHERE i.id = {}; {}",
                  view.id,
                  fmt::format(fmt::runtime(difference), view.quoted, view.definition,
                              options.samples, columns.compared, columns.names)));
  const pg::result& rows = found.back();
  out.missing = rows.integer(0, 0);
  out.unexpected = rows.integer(0, 1);
  for (int row = 0; row < rows.rows(); ++row) {
    if (!rows.is_null(row, 2)) out.samples.push_back(rows.string(row, 2));
  }
  co_return out;
}

// A refresh of it may come first.
asio::awaitable<verify_report> compare(pg::connection& on, const incremental_names& view,
                                       const verify_options& options) {
  const auto work = [&](pg::transaction& in) { return compare_in(in, view, options); };
  const auto once = [&](int) { return pg::in_transaction(on, work); };
  co_return co_await patiently(last_try(!options.lock_timeout), once);
}

asio::awaitable<verify_report> verify_on(pg::connection& on, identifier name,
                                         verify_options options) {
  const incremental_names view = co_await names_of(on, name);
  verify_report out;
  out.view = view.shown;
  std::optional<std::string> unfit;
  try {
    out = co_await compare(on, view, options);
    // Its snapshot may be older than a storage that was put in the place of another meanwhile,
    // which looks empty to it then.
    if (!out.right()) out = co_await compare(on, view, options);
  } catch (const recompile_needed& found) {
    unfit = found.reason;
  }
  if (unfit && !options.repair) {
    throw error(errc::server_error, "its tables were changed: " + *unfit,
                {.hint = "refresh it first, which makes it ready again; or use --repair"});
  }
  if (!options.repair) co_return out;
  const statement_settings settings("matview repair", options.statement_timeout,
                                    options.lock_timeout);
  const std::string preamble = settings.set_local(false);
  const bool shown = co_await store::shows_storage(on, view.id);
  if (!unfit && shown) {
    if (out.right()) co_return out;
    out.repaired = co_await fill_again(on, std::string(view.quoted), std::string(preamble));
    // What was missed may be missed again: an owner can have more captured than who made the view.
    const bool captured = co_await store::is_captured(on, view.id);
    if (out.repaired && captured) co_return out;
  }
  out.repaired = co_await recompile(on, std::string(view.quoted), std::string(preamble),
                                    views_of_others::replace);
  if (!out.repaired) {
    out.repaired = co_await fill_again(on, std::string(view.quoted), std::string(preamble));
  }
  co_return out;
}

asio::awaitable<verify_report> verify_anywhere(std::string name, verify_options options) {
  const identifier view = identifier::parse(name);
  session where{std::nullopt, options.database, options.log};
  const auto work = [&](pg::connection& on) { return verify_on(on, view, options); };
  co_return co_await on_session(std::move(where), work);
}

}  // namespace

}  // namespace views

asio::awaitable<verify_report> averify_matview(std::string_view name, verify_options options) {
  return views::isolated(views::verify_anywhere(std::string(name), std::move(options)));
}

verify_report verify_matview(std::string_view name, const verify_options& options) {
  return pg::run_sync(averify_matview(name, options));
}

}  // namespace matview
