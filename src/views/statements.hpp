#pragma once

#include "text/select_query.hpp"
#include <matview/identifier.hpp>
#include <matview/options.hpp>

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

/// One row: how many rows this session has inserted into the view, as far as that has not gone into
/// the cumulative statistics yet. The difference before and after a full refresh is what it wrote,
/// without a scan.
[[nodiscard]] std::string rows_inserted(const identifier& view);

/// One row: schema, name, size in bytes, and rows_inserted(), NULL if the server does not count.
/// `quoted` is a relation's name, ready for SQL.
[[nodiscard]] std::string measure(std::string_view quoted);

/// One row: the exact count, by a scan.
[[nodiscard]] std::string count_rows(std::string_view quoted);

/// One row: the oid of the relation of this name, or NULL.
[[nodiscard]] std::string oid_of(const identifier& view);

/// A row if there is a relation where a CREATE of this name puts one: its quoted name with the
/// schema, and its relkind. Not where a name is looked up: that may be another schema.
[[nodiscard]] std::string relation_in_place(const identifier& view);

}  // namespace matview::views
