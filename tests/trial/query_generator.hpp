#pragma once

#include "trial/expressions.hpp"
#include "trial/query.hpp"

#include <set>
#include <string>
#include <vector>

namespace matview::trial {

/// A view that others read: a plain one, or one of the kind under trial.
struct definition {
  std::string name = {};
  query body = {};
  bool materialized = false;
};

/// A view of a trial with what has to be there before it.
struct view_under_trial {
  std::vector<definition> underneath = {};
  std::string name = {};
  query body = {};
  std::set<std::string> features = {};  ///< What its query uses, for statistics.

  [[nodiscard]] std::string shape() const;
};

/// Random queries over a schema, of the whole grammar that incremental views are to know, and a
/// little of what they may refuse. The result of each is a function of the tables' contents alone.
class query_generator final {
 public:
  /// Both must outlive the generator.
  query_generator(const schema& tables, dice& choose) : tables_(tables), choose_(choose) {}

  /// @param name of the view; the names of what is underneath begin with it.
  [[nodiscard]] view_under_trial next(const std::string& name);

 private:
  /// Something to select from, by name.
  struct source {
    std::string name;
    scope columns;  ///< Names without an alias.
    double rows;
  };
  /// An item of FROM, what it offers, and about how many rows.
  struct relation {
    from_item item;
    scope fields;
    double rows;
    std::vector<expr> where = {};  ///< What a SELECT from it is to have in WHERE.
  };
  /// A query with what its outputs are.
  struct shaped {
    query body;
    scope columns;
    double rows;
  };

  // FROM (query_from.cpp)
  std::string new_alias();
  [[nodiscard]] source table_source(const table& of) const;
  source any_source();
  relation from_source(const source& of);
  relation base_relation();
  relation subquery_relation(int depth);
  relation values_relation();
  relation marked_relation();
  void add_mark(query& to, scope& fields, const scope& in);
  relation join_marked(relation left);
  relation leaf(int depth);
  relation join(relation left, relation right);
  relation outer_or_inner(relation left, relation right);
  relation add_lateral(relation left);
  relation lateral_function(relation left);
  relation lateral_top(relation left);
  relation lateral_pass(relation left);
  relation pass_through(relation left, const scope& from, relation inner);
  relation lateral_values(relation left);
  relation lateral_list(relation left);
  relation mixed_union();
  relation odd_from();
  relation lateral_with(relation left, from_item item, scope fields);
  relation right_nested(relation left, int depth);
  relation any_from(int depth);
  bool add_equality(std::vector<expr>& to, const scope& left, const scope& right);

  // Subqueries in expressions (query_from.cpp)
  query correlated(const scope& outer, expr output, const relation& inner);
  expr exists_condition(const scope& outer);
  expr in_condition(const scope& outer);
  expr scalar_subquery(const scope& outer);
  expr of_outer_aggregate(const query& of, const scope& outer, bool in_having);
  expr condition(const scope& in);

  // SELECT (query_generator.cpp)
  query start_select(const relation& from);
  shaped finish(query body, double rows);
  void add_target(query& to, expr value);
  shaped plain_select(int depth);
  shaped grouped_select(int depth);
  shaped global_aggregate(int depth);
  shaped window_select(int depth);
  shaped distinct_select(int depth);
  shaped distinct_on_select(int depth);
  shaped using_chain();
  shaped set_operation(int depth, const std::vector<value_type>& types, bool mixed);
  shaped typed_select(std::vector<value_type> types, bool mixed);
  shaped any_set_operation(int depth);
  shaped any_select(int depth);
  shaped small_select();
  void limit(shaped& to);
  void add_constant(shaped& to);
  expr order_value(const scope& in);
  expr window_value(const scope& in);
  void choose_grouping(query& of);
  std::vector<value_type> signature();
  named_query new_cte();
  void add_underneath(view_under_trial& to);

  void note_expressions(const view_under_trial& in);
  void note(const char* feature) { features_.insert(feature); }

  const schema& tables_;
  dice& choose_;
  int aliases_ = 0;
  std::vector<source> extra_;  ///< CTEs and views that this query may read.
  std::set<std::string> features_;
};

}  // namespace matview::trial
