#pragma once

#include "incremental/algebra.hpp"
#include "incremental/branch_types.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace matview::incremental {

// The graph that affected_keys.hpp tells of, for one choice of branches of the set operations.

/// A condition on vertices, in their own terms.
struct graph_condition {
  node* expression;
  std::set<std::string> on;
  /// It holds whenever one of these has a part in a row. One may come from these to the others, not
  /// the other way round: a row of a preserved side is there also when no row meets ON.
  std::set<std::string> scope;
  bool equality;
};

/// ON l = r of a FULL JOIN: coalesce(l, r) is a column that no row lacks.
struct merged_column {
  node* own;    ///< coalesce(l, r), in the terms of the SELECT that has the join.
  node* whole;  ///< The same in terms of vertices.
  node* left;
  node* right;
  std::set<std::string> left_side;  ///< The vertices on this side of the join.
  std::set<std::string> right_side;
};

/// What a column of a subquery is in the terms of vertices; nothing if it cannot be followed.
struct followed_column {
  std::string name;
  node* expression;
};

/// A subquery in FROM.
struct derived_table {
  std::vector<followed_column> columns;
  std::set<std::string> vertices;
  bool nulled = false;  ///< An outer join may find nothing in it.
};

class key_graph final {
 public:
  /// `branches`: for each set operation that is met, in order, 0 for its left branch and 1 for its
  /// right one; what is missing is 0 and is appended.
  key_graph(const query_context& in, const relation& query, std::vector<int>& branches,
            branch_types& types);

  [[nodiscard]] const std::vector<std::string>& vertices() const noexcept { return vertices_; }
  [[nodiscard]] const std::vector<graph_condition>& conditions() const noexcept {
    return conditions_;
  }
  [[nodiscard]] const std::vector<merged_column>& merged() const noexcept { return merged_; }
  [[nodiscard]] const std::vector<followed_column>& output() const noexcept { return output_; }
  [[nodiscard]] bool may_be_null(const std::string& vertex) const {
    return nulled_.contains(vertex);
  }
  /// The innermost subquery in an expression that the vertex stands in; nothing if it is in FROM.
  [[nodiscard]] const dependent_join* subquery_of(const std::string& vertex) const {
    const auto found = in_expressions_.find(vertex);
    return found == in_expressions_.end() ? nullptr : found->second;
  }
  /// Below a LIMIT: which rows these give depends on all of them.
  [[nodiscard]] bool limited(const std::string& vertex) const { return limited_.contains(vertex); }
  [[nodiscard]] bool has_limited() const noexcept { return !limited_.empty(); }
  /// In a subquery of IN that may also be NULL, so that its columns tie it to nothing.
  [[nodiscard]] bool behind_null(const std::string& vertex) const {
    return behind_null_.contains(vertex);
  }
  /// Subqueries in FROM, by alias.
  [[nodiscard]] const std::map<std::string, derived_table>& derived() const { return derived_; }

  /// The expression in terms of vertices, if all of it can be followed.
  [[nodiscard]] node* followed(const node* expression) const;

  /// Of the conditions, for each vertex but the root the next one towards it; nothing for those
  /// that it does not reach. Only through `within`, if that is not empty.
  [[nodiscard]] std::map<std::string, std::string> towards(
      const std::string& root, const std::set<std::string>& within) const;

 private:
  using vertex_set = std::set<std::string>;

  // `needed_by` are vertices outside that have a part in a row only if this yields one.
  std::vector<followed_column> add_query(const relation& query, vertex_set needed_by);
  std::vector<followed_column> add_branch(const relation& query);
  [[nodiscard]] const node* column_of_subquery(const PgQuery__ColumnRef* column) const;
  std::vector<followed_column> add_select(const relation& query, const vertex_set& needed_by);
  std::vector<followed_column> columns_of(const relation& query) const;
  void add_from(const relation& item, const vertex_set& needed_by);
  void add_join(const relation& join, const vertex_set& needed_by);
  void add_condition(const node* condition, const vertex_set& scope);
  // `must_hold`: what is there only if a semi-join finds something.
  void add_subqueries(const expression& of, const vertex_set& must_hold);
  void add_in(const PgQuery__SubLink* sub, const std::vector<followed_column>& columns,
              const vertex_set& scope, bool must_hold);
  void keep(node* expression, const std::set<std::string>& scope, bool equality);
  [[nodiscard]] std::set<std::string> vertices_since(std::size_t before) const;
  void note_merged(const relation& join, const std::set<std::string>& left,
                   const std::set<std::string>& right);
  [[nodiscard]] bool is_nulled_with(const derived_table& subquery, const node* expression) const;
  void note_nulled(std::size_t from, std::size_t to);
  [[nodiscard]] bool touches_both(const node* condition, const std::set<std::string>& left,
                                  const std::set<std::string>& right) const;
  [[nodiscard]] bool cannot_be_null(const node* expression) const;

  const query_context& in_;
  std::vector<int>& branches_;
  branch_types& types_;
  std::size_t next_branch_ = 0;
  std::vector<std::string> vertices_;
  std::vector<graph_condition> conditions_;
  std::vector<merged_column> merged_;
  std::vector<followed_column> output_;
  std::map<std::string, derived_table> derived_;
  std::vector<std::string> subqueries_;  // The aliases of those, as they come.
  std::set<std::string> nulled_;
  std::map<std::string, const dependent_join*> in_expressions_;
  std::set<std::string> limited_;
  std::set<std::string> behind_null_;
};

}  // namespace matview::incremental
