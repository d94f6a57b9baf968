#include "incremental/derive.hpp"

#include "incremental/refusal.hpp"

#include <string_view>
#include <vector>

namespace matview::incremental {

namespace {

// By GROUP BY, HAVING or an aggregate in its targets or ORDER BY.
bool groups(const query_context& in, const select_statement* query) {
  if (query->n_group_clause > 0 || query->having_clause != nullptr) return true;
  for (std::size_t i = 0; i < query->n_target_list; ++i) {
    if (!aggregates_in(in, res_target(query->target_list[i])->val).empty()) return true;
  }
  for (std::size_t i = 0; i < query->n_sort_clause; ++i) {
    if (!aggregates_in(in, query->sort_clause[i]->sort_by->node).empty()) return true;
  }
  return false;
}

bool looks_for_a_row(const PgQuery__SubLink* sub) {
  return sub->sub_link_type == PG_QUERY__SUB_LINK_TYPE__EXISTS_SUBLINK ||
         sub->sub_link_type == PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK;
}

const PgQuery__SubLink* negated(const node* expression) {
  const PgQuery__BoolExpr* some = bool_expr(expression);
  if (some == nullptr || some->boolop != PG_QUERY__BOOL_EXPR_TYPE__NOT_EXPR) return nullptr;
  return sub_link(some->args[0]);
}

// `whole`: the expression that must be true for a row; nothing if there is none such.
dependent_kind kind_of(const PgQuery__SubLink* sub, const node* whole) {
  if (looks_for_a_row(sub)) {
    if (whole != nullptr && sub == sub_link(whole)) return dependent_kind::semi_join;
    if (whole != nullptr && sub == negated(whole)) return dependent_kind::anti_join;
    return dependent_kind::mark_join;
  }
  return sub->sub_link_type == PG_QUERY__SUB_LINK_TYPE__ALL_SUBLINK ? dependent_kind::mark_join
                                                                    : dependent_kind::scalar;
}

class derivation final {
 public:
  explicit derivation(const query_context& in) : in_(in) {}

  const relation* query(const select_statement* tree) const {
    const relation* out = tree->op != PG_QUERY__SET_OPERATION__SETOP_NONE ? set_operation(tree)
                          : tree->n_values_lists > 0                      ? values(tree)
                                                                          : select(tree);
    out = sorted(tree, out);
    if (tree->limit_count == nullptr && tree->limit_offset == nullptr) return out;
    std::vector<expression> bounds;
    if (tree->limit_offset != nullptr) bounds.push_back(with_subqueries(tree->limit_offset));
    if (tree->limit_count != nullptr) bounds.push_back(with_subqueries(tree->limit_count));
    return keep({.kind = relation_kind::limit,
                 .input = out,
                 .expressions = in_.memory.keep(bounds),
                 .bounds = tree});
  }

  expression with_subqueries(node* tree, bool must_hold = false) const {
    std::vector<dependent_join> found;
    add_subqueries(tree, must_hold ? tree : nullptr, found);
    return {tree, in_.memory.keep(found)};
  }

 private:
  using partitions = std::vector<std::span<node* const>>;

  const relation* keep(const relation& one) const { return in_.memory.keep(one); }

  std::vector<expression> conjuncts_of(node* condition, bool must_hold) const {
    std::vector<expression> out;
    for (node* one : conjuncts(condition)) out.push_back(with_subqueries(one, must_hold));
    return out;
  }

  std::span<const expression> listed(std::size_t count, node** items) const {
    std::vector<expression> out;
    for (std::size_t i = 0; i < count; ++i) out.push_back(with_subqueries(items[i]));
    return in_.memory.keep(out);
  }

  void add_subqueries(const node* below, const node* whole,
                      std::vector<dependent_join>& found) const {
    walk(below, [&](ProtobufCMessage* message) {
      const auto* sub = as<PgQuery__SubLink>(message, pg_query__sub_link__descriptor);
      if (sub == nullptr) return message->descriptor != &pg_query__select_stmt__descriptor;
      if (sub->testexpr != nullptr) add_subqueries(sub->testexpr, nullptr, found);
      found.push_back({kind_of(sub, whole), sub, query(select_of(sub->subselect))});
      return false;
    });
  }

  const relation* set_operation(const select_statement* tree) const {
    const auto kind = tree->op == PG_QUERY__SET_OPERATION__SETOP_UNION ? relation_kind::set_union
                      : tree->op == PG_QUERY__SET_OPERATION__SETOP_INTERSECT
                          ? relation_kind::intersection
                          : relation_kind::difference;
    return keep({.kind = kind,
                 .input = query(tree->larg),
                 .right = query(tree->rarg),
                 .all = tree->all != 0});
  }

  const relation* values(const select_statement* tree) const {
    return keep({.kind = relation_kind::values,
                 .expressions = listed(tree->n_values_lists, tree->values_lists)});
  }

  const relation* select(const select_statement* tree) const {
    const relation* out = from(tree);
    if (tree->where_clause != nullptr) out = filtered(out, tree->where_clause);
    if (groups(in_, tree)) {
      out = keep({.kind = relation_kind::aggregate,
                  .input = out,
                  .expressions = listed(tree->n_group_clause, tree->group_clause),
                  .sets_once = tree->group_distinct != 0});
      if (tree->having_clause != nullptr) out = filtered(out, tree->having_clause);
    }
    out = windowed(tree, out);
    out = keep({.kind = relation_kind::project,
                .input = out,
                .expressions = listed(tree->n_target_list, tree->target_list)});
    if (tree->n_distinct_clause == 0) return out;
    // DISTINCT is a list with one empty item, DISTINCT ON one with expressions.
    if (tree->distinct_clause[0]->node_case == PG_QUERY__NODE__NODE__NOT_SET) {
      return keep({.kind = relation_kind::distinct, .input = out});
    }
    return keep({.kind = relation_kind::distinct_on,
                 .input = out,
                 .expressions = listed(tree->n_distinct_clause, tree->distinct_clause)});
  }

  const relation* filtered(const relation* input, node* condition) const {
    return keep({.kind = relation_kind::filter,
                 .input = input,
                 .expressions = in_.memory.keep(conjuncts_of(condition, true)),
                 .condition = condition});
  }

  const relation* windowed(const select_statement* tree, const relation* input) const {
    partitions over;
    for (std::size_t i = 0; i < tree->n_target_list; ++i) {
      add_partitions(tree, res_target(tree->target_list[i])->val, over);
    }
    if (over.empty() && tree->n_window_clause == 0) return input;
    return keep({.kind = relation_kind::window,
                 .input = input,
                 .expressions = listed(tree->n_window_clause, tree->window_clause),
                 .partitions = in_.memory.keep(over)});
  }

  const relation* sorted(const select_statement* tree, const relation* input) const {
    if (tree->n_sort_clause == 0) return input;
    partitions over;
    for (std::size_t i = 0; i < tree->n_sort_clause; ++i) {
      add_partitions(tree, tree->sort_clause[i]->sort_by->node, over);
    }
    return keep({.kind = relation_kind::sort,
                 .input = input,
                 .expressions = listed(tree->n_sort_clause, tree->sort_clause),
                 .partitions = in_.memory.keep(over)});
  }

  static void add_partitions(const select_statement* tree, node* below, partitions& over) {
    for (const PgQuery__FuncCall* call : windows_in(below)) {
      over.push_back(partition_of(tree, call->over));
    }
  }

  static std::span<node* const> partition_of(const select_statement* tree,
                                             const PgQuery__WindowDef* window) {
    const std::string_view other =
        std::string_view(window->refname).empty() ? window->name : window->refname;
    if (window->n_partition_clause > 0 || other.empty()) {
      return {window->partition_clause, window->n_partition_clause};
    }
    for (std::size_t i = 0; i < tree->n_window_clause; ++i) {
      const PgQuery__WindowDef* named = tree->window_clause[i]->window_def;
      if (other == named->name && named != window) return partition_of(tree, named);
    }
    return {};
  }

  const relation* from(const select_statement* tree) const {
    if (tree->n_from_clause == 0) return keep({.kind = relation_kind::unit});
    const relation* out = from_item(tree->from_clause[0]);
    for (std::size_t i = 1; i < tree->n_from_clause; ++i) {
      out = keep({.kind = relation_kind::inner_join,
                  .input = out,
                  .right = from_item(tree->from_clause[i]),
                  .in_a_list = true});
    }
    return out;
  }

  const relation* from_item(const node* item) const {
    if (const PgQuery__JoinExpr* join = join_expr(item)) return joined(join);
    if (const PgQuery__RangeVar* table = range_var(item)) {
      return keep({.kind = relation_kind::scan,
                   .alias = table->alias->aliasname,
                   .table = in_.query.scan_of(table->alias->aliasname),
                   .item = item});
    }
    if (const PgQuery__RangeSubselect* sub = range_subselect(item)) {
      return keep({.kind = relation_kind::rename,
                   .input = query(select_of(sub->subquery)),
                   .alias = sub->alias->aliasname,
                   .item = item});
    }
    const PgQuery__RangeFunction* function = range_function(item);
    if (function == nullptr) throw not_incremental(construct::table_function, "an item of FROM");
    return keep({.kind = relation_kind::function,
                 .alias = function->alias->aliasname,
                 .item = item,
                 .expressions = listed(function->n_functions, function->functions)});
  }

  const relation* joined(const PgQuery__JoinExpr* join) const {
    const auto kind =
        join->jointype == PG_QUERY__JOIN_TYPE__JOIN_LEFT    ? relation_kind::left_join
        : join->jointype == PG_QUERY__JOIN_TYPE__JOIN_RIGHT ? relation_kind::right_join
        : join->jointype == PG_QUERY__JOIN_TYPE__JOIN_FULL  ? relation_kind::full_join
                                                            : relation_kind::inner_join;
    // Of an outer join there is a row also where ON does not hold.
    const bool must_hold = kind == relation_kind::inner_join;
    return keep({.kind = kind,
                 .input = from_item(join->larg),
                 .right = from_item(join->rarg),
                 .expressions = in_.memory.keep(conjuncts_of(join->quals, must_hold)),
                 .condition = join->quals});
  }

  const query_context& in_;
};

}  // namespace

const relation* derive(const query_context& in, const select_statement* query) {
  return derivation(in).query(query);
}

expression derive_expression(const query_context& in, node* tree) {
  return derivation(in).with_subqueries(tree);
}

}  // namespace matview::incremental
