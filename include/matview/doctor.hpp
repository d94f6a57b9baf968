#pragma once

#include <matview/interval.hpp>
#include <matview/log.hpp>

#include <boost/asio/awaitable.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// libpq's own name for a connection; whoever has one has its header.
struct pg_conn;
using PGconn = pg_conn;

namespace matview {

// What is wrong with the materialized views of a database, or soon will be, and the SQL that mends
// it. Nothing is changed: the catalog and the statistics are read, and views without a unique index
// are probed for columns that could have one. docs/doctor.md explains each kind and says what
// cannot be seen.

/// How much a finding matters.
enum class severity {
  error,    ///< A refresh fails or will fail, or the view cannot be read.
  warning,  ///< It hurts: waits, slow queries, wasted space, contents that are not repeatable.
  note,     ///< Worth knowing.
};

/// `error`, `warning` or `note`. Never fails.
[[nodiscard]] std::string_view to_string(severity level) noexcept;

/// What is wrong, for programs; the words of to_string() are a contract.
enum class finding_kind {
  not_populated,           ///< Holds no data, so it cannot be read.
  owner_cannot_refresh,    ///< The view's owner lacks a right that its query needs.
  no_right_to_refresh,     ///< The current role may not refresh it.
  unqualified_names,       ///< A function's names are looked up by a search_path that is not there.
  temp_table_in_function,  ///< A function makes a temporary table, which REFRESH forbids.
  impossible_schedule,     ///< A schedule that nothing can meet.
  no_unique_index,         ///< It cannot be refreshed concurrently.
  volatile_expression,     ///< Each refresh may yield other rows from the same data.
  time_dependent,          ///< The contents depend on when it was refreshed.
  index_only_scans_lost,   ///< Its pages are not marked all-visible.
  bloat,                   ///< It takes much more space than its rows.
  stale_statistics,        ///< The planner's statistics are older than the data.
  capture_incomplete,      ///< Not all changes of an incremental view's tables are captured.
  detached,                ///< Changes are not kept for an incremental view any more.
  growing_log,             ///< An incremental view that is not refreshed makes a log grow.
  leftovers,               ///< Parts of an incremental view that is not there, or not whole.
  altered_view,            ///< An incremental view does not read its storage as it was made to.
  unused,                  ///< Nobody reads it and nothing depends on it.
};

/// All kinds, in the order above.
[[nodiscard]] const std::vector<finding_kind>& finding_kinds();

/// `no_unique_index` and so on: the enumerator's name. Never fails.
[[nodiscard]] std::string_view to_string(finding_kind kind) noexcept;

/// One thing to look at. Plain data.
struct finding {
  severity level = severity::note;
  finding_kind kind = finding_kind::unused;
  std::string object = {};  ///< `schema.view`, quoted where SQL needs it, or `schedule NAME`, or of
                            ///< leftovers `matview.incremental ID`.
  std::string what = {};    ///< What is so, as a sentence.
  std::string why = {};     ///< Why it matters.
  std::string mend = {};    ///< SQL that mends it, or empty where no SQL does.
};

/// Options of doctor().
struct doctor_options {
  /// The alias of the database; ignored by the forms that take a connection.
  std::string database = "default";
  /// The schemas whose views are looked at, exactly as the server has them; empty for all that the
  /// role may use. Ignored if there are names.
  std::vector<std::string> schemas = {};
  /// The views that are looked at, `view` or `schema.view`; empty for those of the schemas.
  std::vector<std::string> names = {};
  /// Longest search, over all views, for columns that a unique index could have. It reads the
  /// views that have none. Unset is 10 seconds, zero searches for none.
  std::optional<interval> probe_limit = {};
  /// For how long, at least, the server must have counted before a view that nobody has read is
  /// called unused. Unset is 7 days.
  std::optional<interval> unread_for = {};
  /// Receives NOTICEs and what is done.
  log_sink log = {};
};

/// What was looked at, and what was found.
struct doctor_report {
  std::vector<std::string> views = {};   ///< As in finding::object, by name.
  std::size_t schedules = 0;             ///< Schedules of refreshes that were looked at.
  std::vector<finding> findings = {};    ///< Errors first, then by object.
  std::vector<std::string> unseen = {};  ///< What could not be looked at and why, as sentences.
};

/// Looks for faults.
///
/// @return the findings: errors first, then warnings, then notes; each by object. Empty is sound.
/// @throws error  as views.hpp says of all its functions; view_not_found for a name that is none;
///                invalid_option for a limit that the server cannot hold.
///
/// Cancellation, threads and connections are as in views.hpp: the asynchronous forms honour
/// cancellation, and any thread may call. In a caller's own transaction nothing of it is changed.
std::vector<finding> doctor(const doctor_options& options = {});
std::vector<finding> doctor(PGconn* connection, const doctor_options& options = {});

/// The same, and what was looked at.
doctor_report examine_matviews(const doctor_options& options = {});
doctor_report examine_matviews(PGconn* connection, const doctor_options& options = {});

// The asynchronous forms. Arguments are taken by value and live as long as the operation.

boost::asio::awaitable<std::vector<finding>> adoctor(doctor_options options = doctor_options());
boost::asio::awaitable<std::vector<finding>> adoctor(PGconn* connection,
                                                     doctor_options options = doctor_options());
boost::asio::awaitable<doctor_report> aexamine_matviews(doctor_options options = doctor_options());
boost::asio::awaitable<doctor_report> aexamine_matviews(PGconn* connection,
                                                        doctor_options options = doctor_options());

}  // namespace matview
