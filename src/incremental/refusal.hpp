#pragma once

#include <cstddef>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace matview::incremental {

/// What keeps a query from being maintained incrementally. docs/incremental.md has a line for each
/// (tests/cli/explain_test.cpp), tests/pg/incremental_refusals_test.cpp a query for each.
enum class construct {
  volatile_function,
  clock,
  session,
  stable_function,
  text_to_time,
  recursive_cte,
  window_without_partition,
  limit_inside,
  foreign_table,
  system_table,
  subscribed_table,
  only,
  temporary_table,
  materialized_view,
  row_security,
  system_column,
  whole_row,
  virtual_column,
  tablesample,
  locking,
  join_alias,
  mixed_types,
  values_only,
  table_function,
  no_key,
  no_path,
  uncorrelated_subquery,
  no_group,
  grouping_sets,
  null_in_subquery,
  type_without_hash,
  hidden_operator,
  unknown_syntax,
  too_large,
  reserved_name,
};

/// One row of the compiler's own table of what it refuses. Plain data.
struct construct_text {
  construct what;
  std::string_view name;     ///< For a program: `volatile_function`.
  std::string_view why;      ///< A sentence for the person who wrote the query.
  std::string_view instead;  ///< What to write instead.
};

/// All of them, in the order of the enumeration.
[[nodiscard]] const std::vector<construct_text>& refused_constructs();
[[nodiscard]] const construct_text& text_of(construct what);

/// A refusal: which construct, and where.
struct refusal {
  construct what;
  std::string detail;  ///< What it is in this query: a function's name, a table.
  /// What stands in the text of the query: a function's, column's or table's name; empty where the
  /// construct itself is enough to find it.
  std::string name = {};
  std::string alias = {};  ///< What tells it from others of that name, if anything does.
  /// If it is about a subquery in an expression: which one of how many, as they stand in the query.
  std::size_t sub_link = 0;  ///< From 1.
  std::size_t sub_links = 0;
};

/// Ends the compilation of a query that cannot be maintained.
class not_incremental final : public std::exception {
 public:
  not_incremental(construct what, std::string detail, std::string name = {}, std::string alias = {})
      : not_incremental(refusal{.what = what,
                                .detail = std::move(detail),
                                .name = std::move(name),
                                .alias = std::move(alias)}) {}
  explicit not_incremental(refusal why)
      : why_(std::move(why)), text_(why_.detail + ": " + std::string(text_of(why_.what).why)) {}

  [[nodiscard]] const refusal& why() const noexcept { return why_; }
  [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }

 private:
  refusal why_;
  std::string text_;
};

}  // namespace matview::incremental
