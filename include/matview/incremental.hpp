#pragma once

#include <matview/interval.hpp>
#include <matview/log.hpp>
#include <matview/options.hpp>
#include <matview/report.hpp>

#include <boost/asio/awaitable.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace matview {

// Incremental views: a refresh costs what has changed, not what there is. What can be such a view,
// and how it is done, stands in docs/incremental.md and docs/incremental-algorithm.md.
//
// Errors, cancellation and threads: as views.hpp says for all its functions. What is written here
// besides is each function's own. All lease a connection from the pool of their alias, so that none
// runs inside a transaction of the caller's. A cancelled call leaves what a view shows as it was;
// what was made by then to convert a view or to compile it anew is discarded by a later create or
// drop.

/// Something in a query because of which it cannot be maintained incrementally. Plain data.
struct incremental_obstacle {
  std::string construct = {};  ///< For a program: `volatile_function`; docs/incremental.md has all.
  std::string what = {};       ///< What it is in this query: `random()`.
  std::string why = {};        ///< Why it cannot be, as a sentence.
  std::string instead = {};    ///< What to write instead.
  std::optional<std::size_t> position = {};  ///< In the query: 1-based, in characters.
};

/// How one part of a query is maintained. Plain data.
struct incremental_part {
  std::string what = {};
  /// L: changes are joined and added up. K: rows with an affected key are made anew. D: the rows
  /// below GROUP BY go by K, the groups by what went and came there. residue: computed when read.
  std::string mechanism = {};
  std::string why = {};
};

/// How one operator of a query is maintained. Plain data.
struct incremental_operator {
  int depth = 0;               ///< 0 at the top; what it goes over follows it, one deeper.
  std::string what = {};       ///< `LEFT JOIN ON o.customer_id = c.id`
  std::string mechanism = {};  ///< As in incremental_part.
  std::string why = {};
};

/// What is captured of one table. Plain data.
struct captured_columns {
  std::string table = {};  ///< `schema.name`
  std::vector<std::string> columns = {};
};

/// A piece that a refresh composes its statements from, with placeholders such as `/*deltas*/`, or
/// the query of the view or its storage. Plain data.
struct incremental_statement {
  std::string name = {};  ///< `view`, `storage`, `apply`, `section 1, changed: a, b`, `full`
  std::string sql = {};
};

/// What explain_matview() tells. Plain data.
struct matview_explanation {
  std::string view = {};               ///< `schema.name`; empty for a bare query.
  view_kind kind = view_kind::native;  ///< What it is; of a bare query: what `auto` would make it.
  std::string mechanism = {};          ///< L, K or D; empty if it cannot be incremental.
  std::vector<incremental_part> parts = {};          ///< In short: from the outside to the inside.
  std::vector<incremental_operator> operators = {};  ///< The same of each operator.
  std::vector<captured_columns> captured = {};
  std::vector<incremental_obstacle> obstacles = {};
  std::vector<std::string> notes = {};  ///< What its user should know, as sentences.
  std::vector<incremental_statement> statements = {};
};

/// Options of explain_matview() and explain_query().
struct explain_options {
  /// The alias of the database.
  std::string database = "default";
  /// Receives what is done.
  log_sink log = {};
};

/// How a view is maintained, or what keeps a native one from being incremental. Changes nothing.
/// Needs the right to make temporary relations.
/// @throws error  view_not_found; as the functions in views.hpp.
[[nodiscard]] matview_explanation explain_matview(std::string_view name,
                                                  const explain_options& options = {});
[[nodiscard]] boost::asio::awaitable<matview_explanation> aexplain_matview(
    std::string_view name, explain_options options = explain_options());

/// The same of a query that no view has yet. Needs the right to make temporary relations.
/// @throws error  invalid_select; server_error with the position if the server refuses the query.
[[nodiscard]] matview_explanation explain_query(std::string_view select_sql,
                                                const explain_options& options = {});
[[nodiscard]] boost::asio::awaitable<matview_explanation> aexplain_query(
    std::string_view select_sql, explain_options options = explain_options());

/// Options of verify_matview().
struct verify_options {
  /// The alias of the database.
  std::string database = "default";
  /// Whether a view that differs is made anew.
  bool repair = false;
  /// How many differing rows are shown at most.
  int samples = 5;
  /// As in create_options.
  std::optional<interval> statement_timeout = {};
  /// As in create_options.
  std::optional<interval> lock_timeout = {};
  /// Receives what is done.
  log_sink log = {};
};

/// What verify_matview() found. Plain data.
struct verify_report {
  std::string view = {};
  std::int64_t missing = 0;               ///< Rows of the query that the view lacks.
  std::int64_t unexpected = 0;            ///< Rows of the view that the query does not have.
  std::vector<std::string> samples = {};  ///< `missing (1,2)`, `unexpected (3,4)`
  bool repaired = false;

  [[nodiscard]] bool right() const noexcept { return missing == 0 && unexpected == 0; }
};

/// Compares an incremental view with its query, on one snapshot, as multisets, columns of types
/// without equality (json) by their text; changes that have not been applied yet are applied first,
/// inside that snapshot. Costs what the query costs, twice where it differs. To repair it is to
/// compute all of it; if somebody has given it another query, it gets back its own. Where its
/// tables were changed so that it has to be made ready anew, nothing is compared: that is an error,
/// or with `repair` done.
/// @throws error  view_not_found; invalid_option for a native view; server_error if its tables were
/// changed.
[[nodiscard]] verify_report verify_matview(std::string_view name,
                                           const verify_options& options = {});
[[nodiscard]] boost::asio::awaitable<verify_report> averify_matview(
    std::string_view name, verify_options options = verify_options());

/// Adds an index to a view, native or incremental, in the same way. Who writes into the view, a
/// refresh, waits until it is made; readers do not.
/// @throws error  view_not_found; invalid_option for a column that it does not have; server_error.
void add_index(std::string_view name, const index_definition& index,
               std::string_view database = "default");
[[nodiscard]] boost::asio::awaitable<void> aadd_index(std::string_view name, index_definition index,
                                                      std::string database = "default");

/// Options of convert_matview().
struct convert_options {
  /// The alias of the database.
  std::string database = "default";
  /// incremental or native.
  view_kind to = view_kind::incremental;
  /// Whether what cannot be kept is accepted; else it is told and nothing is done.
  bool accept_losses = false;
  /// As in create_options.
  std::optional<interval> statement_timeout = {};
  /// As in refresh_options: unset, it gives way to readers and writers.
  std::optional<interval> lock_timeout = {};
  /// Receives what is done.
  log_sink log = {};
};

/// What a conversion keeps and what not. Plain data.
struct convert_report {
  refresh_report made = {};                ///< Mode none if nothing was done.
  std::vector<std::string> kept = {};      ///< `2 grants`, `comment`, ...
  std::vector<std::string> not_kept = {};  ///< `index daily_day_idx on an expression`
};

/// Makes a native view incremental or the other way round, under the same name. Owner, grants,
/// comment, indexes on plain columns with their names and comments, CLUSTER, and what was set on
/// columns (statistics target, n_distinct, storage, compression) are kept.
/// @throws error  view_not_found; invalid_select if the query cannot be maintained;
///                dependents_exist, which names them: PostgreSQL does not let a relation change its
///                kind below a view; invalid_option with what would be lost, unless it is accepted;
///                already_refreshing while another conversion of it runs; server_error with
///                sqlstate 40001 if it was changed meanwhile. In each case nothing was done.
[[nodiscard]] convert_report convert_matview(std::string_view name,
                                             const convert_options& options = {});
[[nodiscard]] boost::asio::awaitable<convert_report> aconvert_matview(
    std::string_view name, convert_options options = convert_options());

/// Refreshes several incremental views in one transaction on one snapshot, in the order in which
/// they are made from each other; no name means all of them. Whoever reads them afterwards sees
/// them as of the same moment.
/// @param options  database, statement_timeout, lock_timeout, log, make_history and asked_by.
/// @return a report each, in the order in which they were refreshed.
/// @throws error  invalid_option if one of them is native, or if mode, concurrently, if_running,
///                if_changed, max_age or max_duration is set; else as refresh_matview().
[[nodiscard]] std::vector<refresh_report> refresh_together(const std::vector<std::string>& names,
                                                           const refresh_options& options = {});
[[nodiscard]] boost::asio::awaitable<std::vector<refresh_report>> arefresh_together(
    std::vector<std::string> names, refresh_options options = refresh_options());

}  // namespace matview
