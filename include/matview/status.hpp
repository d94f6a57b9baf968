#pragma once

#include <matview/log.hpp>
#include <matview/options.hpp>
#include <matview/report.hpp>

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// libpq's own name for a connection; whoever has one has its header.
struct pg_conn;
using PGconn = pg_conn;

namespace matview {

// How the materialized views of a database stand: what the catalog says of them, and what the
// history remembers where there is one. Nothing is written, so that a standby can be asked, too.

/// Whether a view still holds what its query would yield now.
enum class freshness {
  fresh,    ///< Nothing that it is made from has changed, as far as the server's counters tell.
  stale,    ///< Something has changed since, or it holds no data.
  unknown,  ///< Neither is certain; the reason says why.
};

/// `fresh`, `stale` or `unknown`. Never fails.
[[nodiscard]] std::string_view to_string(freshness state) noexcept;

/// One view. Times are by the database's clock. What is not known is unset or empty. Plain data.
struct view_status {
  using time_point = std::chrono::system_clock::time_point;
  using duration = std::chrono::microseconds;

  /// A refresh that is in the history.
  struct refresh {
    time_point started = {};
    time_point finished = {};
    refresh_mode mode = refresh_mode::none;
    std::optional<std::int64_t> rows = {};  ///< That the view held after it.
    refresh_origin asked_by = refresh_origin::api;

    [[nodiscard]] duration took() const {
      return std::chrono::duration_cast<duration>(finished - started);
    }
  };
  /// What others have done to it since the last refresh that is in the history.
  struct outside_change {
    bool refreshed = false;                  ///< Else only altered: rights, owner, options.
    refresh_mode mode = refresh_mode::none;  ///< Of that refresh.
    std::string seen_by = {};                ///< What tells so, as a sentence.
  };
  /// How long its last refreshes took.
  struct usual_time {
    duration median{0};
    duration deviation{0};  ///< Median of the absolute deviations from the median (MAD).
    int refreshes = 0;      ///< How many these are: the last ones that were done, at most 20.
  };
  /// A refresh that runs now, of this library or not.
  struct running_refresh {
    /// Unset if the role may not see it: pg_read_all_stats lets it.
    std::optional<time_point> since = {};
    std::optional<duration> elapsed = {};
    std::string by = {};        ///< `pid 42 (psql, ann)`.
    std::string compared = {};  ///< With the usual time, as a sentence.
  };
  /// The next refresh by a schedule of this library.
  struct due_refresh {
    std::string schedule = {};
    std::optional<time_point> at = {};  ///< Unset while the schedule is paused.
    bool paused = false;
  };
  /// A refresh that failed.
  struct failed_refresh {
    time_point at = {};
    std::string sqlstate = {};
    std::string message = {};
  };

  std::string schema = {};                 ///< Exactly as the server has it.
  std::string name = {};                   ///< Exactly as the server has it.
  view_kind kind = view_kind::native;      ///< Never automatic.
  bool populated = false;                  ///< Whether it holds data.
  std::optional<std::int64_t> bytes = {};  ///< With indexes; unset while it is locked.
  std::optional<refresh> last = {};        ///< The last one that was done.
  std::optional<duration> age = {};        ///< Of its data; at most this if refreshed outside.
  std::optional<outside_change> outside = {};
  std::optional<usual_time> usual = {};
  std::optional<running_refresh> running = {};
  std::optional<due_refresh> next = {};  ///< The first that is due; a paused one if all are.
  freshness fresh = freshness::unknown;
  std::string reason = {};  ///< Of `fresh`, as a sentence.
  /// The last one of its last 1,000 records; later ones may have succeeded.
  std::optional<failed_refresh> error = {};
};

/// Options of matview_status().
struct status_options {
  /// The alias of the database; ignored by the forms that take a connection.
  std::string database = "default";
  /// The views, `view` or `schema.view`; empty for those of the schemas.
  std::vector<std::string> names = {};
  /// The schemas whose views are told about, exactly as the server has them; empty for all that the
  /// role may use. Ignored if there are names.
  std::vector<std::string> schemas = {};
  /// Receives NOTICEs and what is done.
  log_sink log = {};
};

/// What is known.
struct status_report {
  std::vector<view_status> views = {};   ///< By schema and name.
  std::vector<std::string> unseen = {};  ///< What could not be looked at and why, as sentences.
};

/// Tells how views stand. Reads only, in a handful of statements however many views there are. It
/// waits for no refresh. Where the schema `matview` is missing or closed to the role, all that the
/// catalog knows is told, and `unseen` says what is left out.
///
/// @return the views by schema and name, in the bytes of these.
/// @throws error  as views.hpp says of all its functions; invalid_identifier; view_not_found for a
///                name that is no materialized view.
///
/// Cancellation, threads and connections are as in views.hpp: the asynchronous forms honour
/// cancellation, and any thread may call. In a caller's own transaction nothing of it is changed.
[[nodiscard]] status_report matview_status(const status_options& options = {});
[[nodiscard]] status_report matview_status(PGconn* connection, const status_options& options = {});

// The asynchronous forms. Arguments are taken by value and live as long as the operation.

[[nodiscard]] boost::asio::awaitable<status_report> amatview_status(
    status_options options = status_options());
[[nodiscard]] boost::asio::awaitable<status_report> amatview_status(
    PGconn* connection, status_options options = status_options());

}  // namespace matview
