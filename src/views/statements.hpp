#pragma once

#include "text/select_query.hpp"
#include <matview/identifier.hpp>
#include <matview/options.hpp>

#include "incremental/program.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace matview::views {

// The SQL of a view's life, as text. Pure: what comes in is checked by its type, so nothing that a
// caller wrote can change the shape of a statement.

/// What the statements of one operation run under: SET LOCAL, for one transaction.
class statement_settings final {
 public:
  /// `activity` becomes the application_name, for pg_stat_activity: `matview refresh sales.daily`.
  /// @throws error with errc::invalid_option for a timeout that the server cannot hold.
  statement_settings(std::string activity, const std::optional<interval>& statement_timeout,
                     const std::optional<interval>& lock_timeout);

  /// `SET LOCAL ...;` for each setting there is; in a caller's own transaction (`nested`) only the
  /// timeouts.
  [[nodiscard]] std::string set_local(bool nested) const;

  /// In milliseconds, rounded up; 0 is no limit, nothing is the session's own setting.
  [[nodiscard]] std::optional<long> statement_timeout() const noexcept {
    return statement_timeout_;
  }
  [[nodiscard]] std::optional<long> lock_timeout() const noexcept { return lock_timeout_; }

 private:
  std::string activity_;
  std::optional<long> statement_timeout_;
  std::optional<long> lock_timeout_;
};

/// A checked index_definition: columns that are safe to quote.
class checked_index final {
 public:
  /// @throws error with errc::invalid_identifier, or errc::invalid_option for no column.
  explicit checked_index(const index_definition& definition);

  [[nodiscard]] std::string create_on(std::string_view quoted_view) const;

  /// The same on the storage of an incremental view, whose columns `stored` has by those of the
  /// view. @throws error with errc::invalid_option for a column that the view does not have.
  [[nodiscard]] std::string create_on_storage(std::string_view storage,
                                              const incremental::compiled_view& view) const;

 private:
  std::vector<identifier> columns_;
  bool unique_;
};

/// CREATE MATERIALIZED VIEW; `query_offset` characters stand before the query in it.
struct create_statement {
  std::string sql;
  std::size_t query_offset;
};

/// Without IF NOT EXISTS: that would not tell whether it created anything.
[[nodiscard]] create_statement create(const identifier& view, const text::select_query& query,
                                      bool with_data);
[[nodiscard]] std::string comment(std::string_view quoted_view, std::string_view comment);
[[nodiscard]] std::string refresh(const identifier& view, bool concurrently);
[[nodiscard]] std::string drop(const identifier& view, bool if_exists, bool cascade);

/// Takes the lock that each refresh of this library holds until its transaction ends, so that no
/// two of one view run at once; waits for it, or says in one row whether it was free. Of the
/// transaction and not of the session: a pooler may hand the session to somebody else.
[[nodiscard]] std::string wait_for_turn(const identifier& view);
[[nodiscard]] std::string try_turn(const identifier& view);

/// Sets lock_timeout for the transaction, unless the session has one. With the first lock that
/// others may wait for, hardly_wait() is due.
[[nodiscard]] std::string give_way(int tries = 0);

/// Shortens what give_way() has set, if it has. Needs the schema matview.
inline constexpr const char* hardly_wait = "SELECT matview.hardly_wait()";

/// One row: the server's time in microseconds since 1970, its WAL position in bytes or NULL on a
/// standby, and whether the history can be kept here.
[[nodiscard]] std::string moment();

/// One row: what tells later whether somebody else has touched the view; see store::state_of().
[[nodiscard]] std::string state(const identifier& view);

/// One row, none if there is no such relation: schema, name, oid, relkind, populated, whether it
/// has a unique index for CONCURRENTLY, bytes of the heap, sessions that hold it to read, scans,
/// xmin, whether the history can be kept here, its size on disk or NULL, and whether it is an
/// incremental view. Waits for nobody.
[[nodiscard]] std::string look_at(const identifier& view);

/// The first half of the key of a view's lock; the second is its oid. Spells "mvr" in ASCII.
inline constexpr int turn_class = 7'173'746;

/// Rows of pid and who: the sessions that refresh the view now, by this library or otherwise.
[[nodiscard]] std::string refreshing_sessions(const identifier& view);

/// One row: how many rows this session has inserted into the view, as far as that has not gone into
/// the cumulative statistics yet. The difference before and after a full refresh is what it wrote,
/// without a scan.
[[nodiscard]] std::string rows_inserted(const identifier& view);

/// One row: schema, name, size in bytes, rows_inserted(), NULL if the server does not count,
/// whether the role may read it, and its oid.
/// `quoted` is a relation's name, ready for SQL.
[[nodiscard]] std::string measure(std::string_view quoted);

/// One row: the exact count, by a scan.
[[nodiscard]] std::string count_rows(std::string_view quoted);

/// The row of pg_class, none if there is no such relation: oid, and how many rows it holds as far
/// as the planner knows, or NULL; whether it is an incremental view, and whether a native
/// one.
[[nodiscard]] std::string known_rows(const identifier& view);

/// One row: the oid of the relation of this name, or NULL.
[[nodiscard]] std::string oid_of(const identifier& view);

/// A row if there is a relation where a CREATE of this name puts one: its quoted name with the
/// schema, and its relkind. Not where a name is looked up: that may be another schema.
[[nodiscard]] std::string relation_in_place(const identifier& view);

}  // namespace matview::views
