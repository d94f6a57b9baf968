#pragma once

#include <matview/interval.hpp>
#include <matview/log.hpp>
#include <matview/report.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace matview {

/// An index that is created together with a view.
struct index_definition {
  /// The columns, in order; each by the rule of one part of an identifier.
  std::vector<std::string> columns = {};
  /// Whether the columns together are different for each row. CONCURRENTLY needs one such index.
  bool unique = false;
};

/// What a view is in the database.
enum class view_kind {
  native,       ///< A MATERIALIZED VIEW: REFRESH computes all of it.
  incremental,  ///< A plain view over a table that changes are applied to: see incremental.hpp.
  automatic,    ///< incremental if the query can be maintained so, else native, and native without
                ///< data. The report says why. To lack the right to make triggers is an error.
};

/// Options of create_matview().
struct create_options {
  /// The alias of the database; ignored by the forms that take a connection.
  std::string database = "default";
  /// Whether to run the query now. A view without data cannot be read until it is refreshed.
  bool with_data = true;
  /// Whether a view of this name, native or incremental and whatever `kind` says, is left as it is
  /// instead of being an error. Any other relation of this name is an error all the same.
  bool if_not_exists = false;
  /// Created in the same transaction as the view.
  std::vector<index_definition> indexes = {};
  /// The view's COMMENT; empty for none.
  std::string comment = {};
  /// Longest run of one statement, in the server; unset leaves the role's setting, zero disables
  /// it. Rounded up to whole milliseconds, at most 24 days.
  std::optional<interval> statement_timeout = {};
  /// Longest wait for one lock, in the server; as above. Unset, the triggers of an incremental view
  /// give way to writers of its tables, as a refresh does to readers; see refresh_options.
  std::optional<interval> lock_timeout = {};
  /// Receives NOTICEs and what is done.
  log_sink log = {};
  /// An incremental view cannot be made without data, nor in a transaction of the caller's.
  view_kind kind = view_kind::native;
};

/// What a refresh does when another one of the same view is running, started by this library
/// anywhere. Two never run at once.
enum class if_running {
  wait,  ///< Waits for its end, and refreshes then.
  join,  ///< Waits for its end, and takes its result for its own; refreshes only if it failed.
  skip,  ///< Leaves it at that: mode none.
  fail,  ///< errc::already_refreshing.
};

/// What a native view is given after its refresh, and when: ANALYZE, so that the planner does not
/// go by old statistics, and VACUUM after a full one, whose new pages are not marked all-visible,
/// so that each index-only scan looks into the table. Plain data.
struct care_options {
  enum class analyze_when {
    never,
    when_moved,  ///< The number of rows moved by `moved_part` and by `moved_rows`, or nobody has
                 ///< ever analyzed the view.
    always,
  };
  enum class vacuum_when {
    never,
    after_full,  ///< After a full refresh of a view with an index and `least_pages`.
    always,
  };
  analyze_when analyze = analyze_when::when_moved;
  vacuum_when vacuum = vacuum_when::after_full;
  /// Of the rows before; 0.1 is a tenth.
  double moved_part = 0.1;
  /// Rows, up or down.
  std::int64_t moved_rows = 1'000;
  /// A view of fewer pages (of 8 kB, usually) is read quickly in any case.
  std::int64_t least_pages = 64;
};

/// Options of refresh_matview().
struct refresh_options {
  /// The alias of the database; ignored by the forms that take a connection.
  std::string database = "default";
  /// Whether readers may go on reading while the view is refreshed. Needs a view that holds data
  /// and has a usable unique index; costs a comparison with the old contents.
  bool concurrently = false;
  /// Whether the report says how many rows the view holds. Free after a full refresh; a scan of
  /// the view after a concurrent one. Of an incremental view it does not say so in any case.
  bool count_rows = true;
  /// As in create_options.
  std::optional<interval> statement_timeout = {};
  /// Longest wait for one lock, in the server; zero waits for ever. A full refresh needs the view
  /// for itself, and whoever wants to read it meanwhile queues behind that wish. Unset, it
  /// therefore gives way after 0.75 s (from the fourth try on, a little after deadlock_timeout, for
  /// which autovacuum gives way) and tries again later, for ten minutes at most; unless the role
  /// has a lock_timeout of its own, which then counts for each try.
  std::optional<interval> lock_timeout = {};
  /// Receives NOTICEs and what is done.
  log_sink log = {};
  /// full, concurrently, automatic, incremental, diff or swap; unset: as `concurrently` says. The
  /// report says why. An incremental view takes automatic, incremental, full, diff and swap; unset
  /// and concurrently mean automatic there, since its readers never wait. Only swap makes them
  /// wait, and waits for them, at its end; a REPEATABLE READ transaction that is older sees the
  /// view empty. Automatic never swaps. What cannot be done as it was asked for is done otherwise,
  /// and the report says so: docs/refresh.md.
  std::optional<refresh_mode> mode = {};
  /// What to do when another refresh of this view is running.
  matview::if_running if_running = matview::if_running::wait;
  /// Whether it is left out (mode none) when none of the tables that the view is made from has
  /// changed since its last refresh, as far as counters tell; docs/refresh.md says what they cannot
  /// see. What cannot be known counts as changed. Needs the history, and makes it. An incremental
  /// view goes by its logs instead, with this and without.
  bool if_changed = false;
  /// With if_changed: refreshed all the same when its data is older than this; a native view.
  std::optional<interval> at_least_every = {};
  /// Left out (mode none) when the view's data is not older than this: when its last refresh, or
  /// one that is running and is then joined, began late enough. Needs the history, and makes it;
  /// matview.refresh() in SQL is not in it.
  std::optional<interval> max_age = {};
  /// Longest time for all of it, waiting and trying again included; errc::statement_timeout then.
  std::optional<interval> max_duration = {};
  /// What is done after the commit; unset: nothing. The report says what, and why not. Not in a
  /// caller's transaction. The storage of an incremental view is left to autovacuum.
  std::optional<care_options> care = {};
  /// Whether the history is begun if the database has none and the role may make the schema
  /// `matview`. Where there is one, it is kept in any case.
  bool make_history = false;
  /// Who asked, for the history.
  refresh_origin asked_by = refresh_origin::api;
};

/// Options of drop_matview().
struct drop_options {
  /// The alias of the database; ignored by the forms that take a connection.
  std::string database = "default";
  /// Whether a view that is not there is fine.
  bool if_exists = true;
  /// Whether everything that depends on the view is dropped with it; the log names each.
  bool cascade = false;
  /// As in create_options.
  std::optional<interval> statement_timeout = {};
  /// As in refresh_options: unset, it gives way to readers of the view and of its tables.
  std::optional<interval> lock_timeout = {};
  /// Receives NOTICEs and what is done.
  log_sink log = {};
};

/// Options of list_matviews().
struct list_options {
  /// The alias of the database; ignored by the forms that take a connection.
  std::string database = "default";
  /// The schema, exactly as the server has it; one that does not exist holds no views.
  std::string schema = "public";
  /// Receives what is done.
  log_sink log = {};
};

}  // namespace matview
