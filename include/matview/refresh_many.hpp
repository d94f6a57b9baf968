#pragma once

#include <matview/error.hpp>
#include <matview/log.hpp>
#include <matview/options.hpp>
#include <matview/report.hpp>

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace matview {

// Refreshing many views: exactly those that are needed, each once, what is upstream first, several
// at a time.

/// Which materialized views are meant. At least one of `all`, `schemas` and `names` says so.
struct view_selection {
  bool all = false;  ///< Every one of the database.
  std::vector<std::string> schemas =
      {};                               ///< Those in these schemas, exactly as the server has them.
  std::vector<std::string> names = {};  ///< These, by the rule of identifier.
  bool with_upstream = false;           ///< Also all views that those in `names` are made from.
  bool with_downstream = false;         ///< Also all views that are made from those in `names`.
};

/// How the refresh of one among many ended.
enum class refresh_outcome {
  done,             ///< See the report.
  failed,           ///< See the error.
  upstream_failed,  ///< Not tried, because what it is made from was not made.
  skipped,          ///< Not tried for another reason, such as that it was dropped meanwhile.
  in_doubt,         ///< The connection was lost, and whether it happened could not be found out.
};

/// `done`, `failed`, `upstream_failed`, `skipped` or `in_doubt`. Never fails.
[[nodiscard]] std::string_view to_string(refresh_outcome outcome) noexcept;

/// What became of one view. Plain data.
struct refreshed_view {
  std::string view = {};  ///< As graph_node::display().
  refresh_outcome outcome = refresh_outcome::skipped;
  std::string reason = {};                    ///< Why not, or what is to be known, as a sentence.
  std::optional<refresh_report> report = {};  ///< If done and told about.
  std::optional<error> failure = {};          ///< If failed or in doubt.
};

/// A view that is being refreshed. Plain data; what needs a right that the role does not have is
/// left unset.
struct running_view {
  std::string view = {};
  std::chrono::microseconds elapsed{0};
  std::optional<std::chrono::microseconds> expected = {};  ///< From history.
  std::optional<std::int64_t> old_bytes = {};              ///< Of the heap that is replaced.
  std::optional<std::int64_t> new_bytes = {};              ///< Of the heap that is being written.
  std::vector<std::string> blocked_by = {};  ///< `pid 42 (psql, ann): UPDATE ...`, at most three.
};

/// How far it is. Plain data.
struct refresh_progress {
  std::size_t views = 0;  ///< All that are to be refreshed.
  std::size_t ended = 0;  ///< Of these, however.
  std::chrono::microseconds elapsed{0};
  std::optional<std::chrono::microseconds> expected = {};  ///< Of the whole, from history.
  std::vector<running_view> running = {};
};

/// Options of refresh_many().
struct refresh_many_options {
  /// The alias of the database.
  std::string database = "default";
  view_selection which = {};
  /// How many views are refreshed at once, each on a connection of the alias's pool; at least 1 and
  /// at most the pool's size, which wins. Two usually keep a server's disk and a core busy; raise
  /// it as far as its cores and its maintenance_work_mem allow.
  std::size_t jobs = 2;
  /// How each view is refreshed. `database` in it is not read.
  refresh_options each = {};
  /// Called when a view has ended, however. Must not throw; so with on_progress.
  std::function<void(const refreshed_view&)> on_ended = {};
  /// Called from time to time while something runs; costs one more connection.
  std::function<void(const refresh_progress&)> on_progress = {};
  /// The time between two calls of on_progress.
  std::chrono::milliseconds progress_every{500};
  /// Receives what is done beside the refreshes.
  log_sink log = {};
};

/// What became of all. Plain data.
struct refresh_summary {
  std::vector<refreshed_view> views = {};  ///< In the order in which they ended.
  std::chrono::microseconds duration{0};
  std::size_t jobs = 0;  ///< How many were refreshed at once, at most.
  bool cancelled =
      false;  ///< Cut short: what had not ended is skipped, or failed with `cancelled`.

  [[nodiscard]] std::size_t count(refresh_outcome outcome) const noexcept;
};

/// Refreshes the views that are meant.
///
/// Effect: each view once, and only after all those among them that it is made from, at any
/// distance, have been refreshed. Of those that may start, the one comes first behind which the
/// longest work waits (durations of the last refreshes, from history). Each refresh is a
/// transaction of its own: see refresh_matview(). A view that fails fails what is made from it,
/// with the reason `upstream X failed`; the others go on. A view that is dropped meanwhile is
/// skipped; one that is renamed is refreshed under its new name. When a connection is lost, the
/// view is looked up again to tell whether its refresh happened; nothing is tried twice.
///
/// @throws error  before anything is refreshed: invalid_option for a selection that makes no sense,
///                a cycle (it is named) and no jobs; view_not_found; the errors of a connection.
///                What happens to one view later on is told in the summary.
///
/// Cancellation: what runs is cancelled in the server, nothing more is begun, and the summary is
/// returned with `cancelled` set. The callbacks are called on the caller's executor, one at a time.
///
/// Threads: as in views.hpp; on an executor of several threads it keeps to a strand.
[[nodiscard]] refresh_summary refresh_many(const refresh_many_options& options);
[[nodiscard]] boost::asio::awaitable<refresh_summary> arefresh_many(refresh_many_options options);

/// A refresh as it is planned. Plain data.
struct planned_refresh {
  std::string view = {};
  refresh_mode mode = refresh_mode::full;  ///< What `each` asks for, or auto means by now.
  std::string mode_reason = {};            ///< Why this mode, as a sentence.
  std::vector<std::string> after = {};     ///< Views of this plan that it waits for, directly.
  std::string skipped = {};                ///< Why it will not be tried; empty if it will.
  std::optional<std::chrono::microseconds> expected = {};  ///< By history, or by size beside it.
  std::optional<std::chrono::microseconds> begins = {};    ///< After the whole has begun.
};

/// What refresh_many() would do. Plain data.
struct refresh_forecast {
  std::vector<planned_refresh> views = {};                 ///< In the order in which they start.
  std::optional<std::chrono::microseconds> expected = {};  ///< Of the whole.
  std::optional<std::chrono::microseconds> critical_path = {};  ///< No number of jobs is faster.
  std::size_t jobs = 0;
};

/// What refresh_many() would do with these options; nothing is refreshed. Errors, cancellation and
/// threads as there, but that cancelling throws.
[[nodiscard]] refresh_forecast forecast_refresh(const refresh_many_options& options);
[[nodiscard]] boost::asio::awaitable<refresh_forecast> aforecast_refresh(
    refresh_many_options options);

}  // namespace matview
