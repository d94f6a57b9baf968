#pragma once

#include "trial/schema.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

// The trial's own small tree of a query. It is printed, never parsed; it knows no more than what
// is needed to take parts of it away (see shrinks()). Everything is a value: a copy is deep.
namespace matview::trial {

struct query;

/// A vector of queries that may be a member of what a query has, where `query` is incomplete.
class query_list final {
 public:
  query_list() noexcept;
  query_list(const query_list& other);
  query_list(query_list&& other) noexcept;
  query_list& operator=(const query_list& other);
  query_list& operator=(query_list&& other) noexcept;
  ~query_list();

  void push_back(query one);
  [[nodiscard]] bool empty() const noexcept;
  [[nodiscard]] query& front();
  [[nodiscard]] const query& at(std::size_t index) const;
  [[nodiscard]] query* begin() noexcept;
  [[nodiscard]] query* end() noexcept;

 private:
  std::unique_ptr<std::vector<query>> list_;  // Null: none.
};

/// An expression: text with holes. `$0` to `$9` are its parts, `@0` to `@9` its subqueries.
struct expr {
  std::string form = {};
  value_type type = value_type::boolean;
  std::vector<expr> parts = {};
  query_list queries = {};
};

struct target {
  std::string name = {};
  expr value = {};
};

/// A table or a CTE by name, a subquery, VALUES, a function, or a join of two others.
struct from_item {
  std::string name = {};  ///< A relation; empty: one of the others.
  std::string alias = {};
  std::string columns = {};  ///< "v" or "a, c": names that the alias gives to columns.
  bool lateral = false;
  query_list subquery = {};         ///< One, or none.
  std::vector<expr> function = {};  ///< One, or none; also a parenthesised VALUES.
  std::string join = {};            ///< "LEFT JOIN"; then there are two sides.
  std::vector<from_item> sides = {};
  std::vector<expr> on = {};  ///< Conjuncts; none: ON true.
  std::string using_column = {};
};

struct named_query;

enum class grouping { none, plain, rollup, cube, sets };

struct query {
  std::vector<named_query> with;

  std::string set_operation = {};  ///< "UNION ALL"; then there are two branches and no targets.
  std::vector<query> branches;

  bool distinct = false;
  /// DISTINCT ON that many first outputs; the order is by all outputs, so that it is total.
  std::size_t distinct_on = 0;
  std::vector<expr> order = {};  ///< Comes first in the order, but for what is distinct.
  std::vector<target> targets = {};
  std::vector<from_item> from = {};
  std::vector<expr> where = {};
  grouping group = grouping::none;
  std::vector<expr> keys = {};
  std::vector<expr> having = {};

  /// With a limit the order is by all outputs: rows that tie are equal, the result is determined.
  int limit = -1;
  int offset = 0;
  bool descending = false;
};

struct named_query {
  std::string name = {};
  query body = {};
};

[[nodiscard]] std::string to_sql(const query& of);
[[nodiscard]] std::string to_sql(const expr& of);
[[nodiscard]] std::string to_sql(const from_item& of);

/// The names of the result's columns.
[[nodiscard]] std::vector<std::string> output_names(const query& of);

/// Each query that has one thing less than `of`. Some are not valid SQL: who asks has to try them.
/// The simplest come first.
[[nodiscard]] std::vector<query> shrinks(const query& of);

}  // namespace matview::trial
