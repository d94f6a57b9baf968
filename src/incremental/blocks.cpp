#include "incremental/blocks.hpp"

#include <algorithm>
#include <functional>
#include <optional>
#include <string_view>

namespace matview::incremental {

namespace {

std::string function_name(const PgQuery__FuncCall* call) {
  std::string out;
  for (std::size_t i = 0; i < call->n_funcname; ++i) {
    if (i > 0) out += '.';
    out += string_of(call->funcname[i]);
  }
  return out;
}

// Each call in an expression, but none in its subqueries. `visit` says whether to go into it.
void calls_in(node* expression, const std::function<bool(node*)>& visit) {
  walk(expression, [&](ProtobufCMessage* message) {
    if (message->descriptor == &pg_query__select_stmt__descriptor) return false;
    auto* holder = as<node>(message, pg_query__node__descriptor);
    if (holder != nullptr && func_call(holder) != nullptr) return visit(holder);
    return true;
  });
}

// As one writes it, if the expression has one.
std::optional<std::string> sub_link_in(const node* expression) {
  std::optional<std::string> out;
  if (expression == nullptr) return out;
  walk(expression, [&](ProtobufCMessage* message) {
    const auto* sub = as<PgQuery__SubLink>(message, pg_query__sub_link__descriptor);
    if (sub == nullptr) return !out.has_value();
    switch (sub->sub_link_type) {
      case PG_QUERY__SUB_LINK_TYPE__EXISTS_SUBLINK:
        out = "EXISTS";
        break;
      case PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK:
        out = sub->n_oper_name == 0 || string_of(sub->oper_name[sub->n_oper_name - 1]) == "="
                  ? "IN (SELECT ...)"
                  : "ANY (SELECT ...)";
        break;
      case PG_QUERY__SUB_LINK_TYPE__ALL_SUBLINK:
        out = "ALL (SELECT ...)";
        break;
      default:
        out = "a subquery in an expression";
    }
    return false;
  });
  return out;
}

std::string join_name(PgQuery__JoinType type) {
  switch (type) {
    case PG_QUERY__JOIN_TYPE__JOIN_LEFT:
      return "LEFT JOIN";
    case PG_QUERY__JOIN_TYPE__JOIN_RIGHT:
      return "RIGHT JOIN";
    case PG_QUERY__JOIN_TYPE__JOIN_FULL:
      return "FULL JOIN";
    default:
      return "a join";
  }
}

std::optional<std::string> nonlinear_item(const query_context& in, const node* item) {
  if (range_var(item) != nullptr) return std::nullopt;
  if (range_function(item) != nullptr) return sub_link_in(item);
  if (const PgQuery__RangeSubselect* sub = range_subselect(item)) {
    constexpr std::string_view inside = " in a subquery";
    std::optional<std::string> out = nonlinear_part(in, select_of(sub->subquery));
    if (out && !out->ends_with(inside)) *out += inside;
    return out;
  }
  const PgQuery__JoinExpr* join = join_expr(item);
  if (join == nullptr) return "an item of FROM";
  if (join->jointype != PG_QUERY__JOIN_TYPE__JOIN_INNER) return join_name(join->jointype);
  if (auto left = nonlinear_item(in, join->larg)) return left;
  if (auto right = nonlinear_item(in, join->rarg)) return right;
  return sub_link_in(join->quals);
}

// Whether an outer join below `item` makes `alias` NULL; nothing if it is not below it at all.
std::optional<bool> made_null(const node* item, const std::string& alias) {
  if (const PgQuery__RangeVar* table = range_var(item)) {
    return table->alias->aliasname == alias ? std::optional(false) : std::nullopt;
  }
  if (const PgQuery__RangeSubselect* sub = range_subselect(item)) {
    return sub->alias->aliasname == alias ? std::optional(false) : std::nullopt;
  }
  if (const PgQuery__RangeFunction* function = range_function(item)) {
    return function->alias->aliasname == alias ? std::optional(false) : std::nullopt;
  }
  const PgQuery__JoinExpr* join = join_expr(item);
  if (join == nullptr) return std::nullopt;
  const auto type = join->jointype;
  const bool full = type == PG_QUERY__JOIN_TYPE__JOIN_FULL;
  if (const std::optional<bool> left = made_null(join->larg, alias)) {
    return *left || full || type == PG_QUERY__JOIN_TYPE__JOIN_RIGHT;
  }
  if (const std::optional<bool> right = made_null(join->rarg, alias)) {
    return *right || full || type == PG_QUERY__JOIN_TYPE__JOIN_LEFT;
  }
  return std::nullopt;
}

const PgQuery__RangeSubselect* subselect_of(const node* item, const std::string& alias) {
  if (const PgQuery__RangeSubselect* sub = range_subselect(item)) {
    return sub->alias->aliasname == alias ? sub : nullptr;
  }
  const PgQuery__JoinExpr* join = join_expr(item);
  if (join == nullptr) return nullptr;
  const PgQuery__RangeSubselect* left = subselect_of(join->larg, alias);
  return left != nullptr ? left : subselect_of(join->rarg, alias);
}

}  // namespace

bool is_aggregate(const PgQuery__FuncCall* call, const store::query_facts& facts) {
  return call->over == nullptr &&
         (call->agg_star != 0 || call->agg_distinct != 0 || call->agg_within_group != 0 ||
          call->agg_filter != nullptr || call->n_agg_order > 0 ||
          facts.aggregates.contains(function_name(call)));
}

std::vector<node*> aggregates_in(const query_context& in, node* expression) {
  std::vector<node*> out;
  calls_in(expression, [&](node* call) {
    if (!is_aggregate(func_call(call), in.facts)) return true;
    out.push_back(call);
    return false;
  });
  return out;
}

std::vector<PgQuery__FuncCall*> windows_in(node* expression) {
  std::vector<PgQuery__FuncCall*> out;
  calls_in(expression, [&](node* call) {
    if (func_call(call)->over != nullptr) out.push_back(func_call(call));
    return true;
  });
  return out;
}

bool groups(const query_context& in, const select_statement* query) {
  if (query->n_group_clause > 0 || query->having_clause != nullptr) return true;
  for (std::size_t i = 0; i < query->n_target_list; ++i) {
    if (!aggregates_in(in, res_target(query->target_list[i])->val).empty()) return true;
  }
  return false;
}

bool has_windows(const select_statement* query) {
  for (std::size_t i = 0; i < query->n_sort_clause; ++i) {
    if (!windows_in(query->sort_clause[i]->sort_by->node).empty()) return true;
  }
  for (std::size_t i = 0; i < query->n_target_list; ++i) {
    if (!windows_in(res_target(query->target_list[i])->val).empty()) return true;
  }
  return false;
}

std::optional<std::string> nonlinear_core(const query_context& in, const select_statement* query) {
  if (auto out = sub_link_in(query->where_clause)) return out;
  for (std::size_t i = 0; i < query->n_target_list; ++i) {
    if (auto out = sub_link_in(res_target(query->target_list[i])->val)) return out;
  }
  for (std::size_t i = 0; i < query->n_group_clause; ++i) {
    if (auto out = sub_link_in(query->group_clause[i])) return out;
  }
  for (std::size_t i = 0; i < query->n_from_clause; ++i) {
    if (auto out = nonlinear_item(in, query->from_clause[i])) return out;
  }
  return std::nullopt;
}

std::optional<std::string> nonlinear_part(const query_context& in, const select_statement* query) {
  if (query->limit_count != nullptr || query->limit_offset != nullptr) return "LIMIT";
  if (is_set_operation(query)) {
    if (query->op == PG_QUERY__SET_OPERATION__SETOP_INTERSECT) return "INTERSECT";
    if (query->op == PG_QUERY__SET_OPERATION__SETOP_EXCEPT) return "EXCEPT";
    if (query->all == 0) return "UNION";
    auto left = nonlinear_part(in, query->larg);
    return left ? left : nonlinear_part(in, query->rarg);
  }
  for (std::size_t i = 0; i < query->n_values_lists; ++i) {
    if (auto out = sub_link_in(query->values_lists[i])) return out;
  }
  if (query->n_values_lists > 0) return std::nullopt;
  if (query->n_distinct_clause > 0) {
    return query->distinct_clause[0]->node_case == PG_QUERY__NODE__NODE__NOT_SET ? "DISTINCT"
                                                                                 : "DISTINCT ON";
  }
  if (groups(in, query)) return query->n_group_clause > 0 ? "GROUP BY" : "an aggregate";
  if (has_windows(query)) return "a window function";
  return nonlinear_core(in, query);
}

std::vector<std::string> scans_in(const query_context& in, const select_statement* query) {
  std::vector<std::string> out;
  walk(&query->base, [&](ProtobufCMessage* message) {
    const auto* table = as<PgQuery__RangeVar>(message, pg_query__range_var__descriptor);
    if (table != nullptr && in.query.scan_of(table->alias->aliasname) != nullptr) {
      out.emplace_back(table->alias->aliasname);
    }
    return true;
  });
  return out;
}

select_statement* without_order(const query_context& in, const select_statement* query) {
  select_statement* out = copy(in.memory, query);
  out->n_sort_clause = 0;
  out->limit_count = nullptr;
  out->limit_offset = nullptr;
  out->limit_option = PG_QUERY__LIMIT_OPTION__LIMIT_OPTION_DEFAULT;
  return out;
}

select_statement* core_of(const query_context& in, const select_statement* query) {
  select_statement* out = without_order(in, query);
  out->n_target_list = 0;
  out->n_distinct_clause = 0;
  out->n_group_clause = 0;
  out->group_distinct = 0;
  out->having_clause = nullptr;
  out->n_window_clause = 0;
  return out;
}

std::vector<node*> group_expressions(const query_context& in, const select_statement* query) {
  std::vector<node*> out;
  const auto add = [&](node* expression) {
    const bool known =
        std::any_of(out.begin(), out.end(), [&](const node* one) { return same(one, expression); });
    if (!known) out.push_back(expression);
  };
  for (std::size_t i = 0; i < query->n_group_clause; ++i) add(query->group_clause[i]);
  // What is left ungrouped outside of aggregates is determined by the others.
  const auto ungrouped = [&](node* expression) {
    node* rest = copy(in.memory, expression);
    replace(rest, [&](node* at) -> node* {
      const bool grouped =
          std::any_of(out.begin(), out.end(), [&](const node* one) { return same(one, at); });
      const PgQuery__FuncCall* call = func_call(at);
      if (grouped || (call != nullptr && is_aggregate(call, in.facts)) || sub_link(at) != nullptr) {
        return parse_expression(in.memory, "NULL");
      }
      if (column_ref(at) != nullptr) add(copy(in.memory, at));
      return at;
    });
  };
  if (query->n_group_clause > 0 && !has_grouping_sets(query)) {
    for (std::size_t i = 0; i < query->n_target_list; ++i) {
      ungrouped(res_target(query->target_list[i])->val);
    }
    if (query->having_clause != nullptr) ungrouped(query->having_clause);
  }
  return out;
}

bool has_grouping_sets(const select_statement* query) {
  return std::any_of(
      query->group_clause, query->group_clause + query->n_group_clause,
      [](const node* item) { return item->node_case == PG_QUERY__NODE__NODE_GROUPING_SET; });
}

namespace {

using index_set = std::vector<std::size_t>;

std::size_t index_of(node* expression, std::vector<node*>& expressions) {
  for (std::size_t i = 0; i < expressions.size(); ++i) {
    if (same(expressions[i], expression)) return i;
  }
  expressions.push_back(expression);
  return expressions.size() - 1;
}

index_set joined(index_set left, const index_set& right) {
  for (const std::size_t one : right) {
    if (std::find(left.begin(), left.end(), one) == left.end()) left.push_back(one);
  }
  return left;
}

// An element of ROLLUP or CUBE: one expression, or several in parentheses.
index_set element(const node* item, std::vector<node*>& expressions) {
  if (item->node_case == PG_QUERY__NODE__NODE_ROW_EXPR) {
    index_set out;
    for (std::size_t i = 0; i < item->row_expr->n_args; ++i) {
      out.push_back(index_of(item->row_expr->args[i], expressions));
    }
    return out;
  }
  return {index_of(const_cast<node*>(item), expressions)};  // NOLINT: kept as it is
}

std::vector<index_set> sets_of(const node* item, std::vector<node*>& expressions) {
  if (item->node_case != PG_QUERY__NODE__NODE_GROUPING_SET) return {element(item, expressions)};
  const PgQuery__GroupingSet* set = item->grouping_set;
  std::vector<index_set> out;
  switch (set->kind) {
    case PG_QUERY__GROUPING_SET_KIND__GROUPING_SET_ROLLUP: {
      index_set all;
      out.push_back(all);
      for (std::size_t i = 0; i < set->n_content; ++i) {
        all = joined(all, element(set->content[i], expressions));
        out.push_back(all);
      }
      return out;
    }
    case PG_QUERY__GROUPING_SET_KIND__GROUPING_SET_CUBE: {
      out.emplace_back();
      for (std::size_t i = 0; i < set->n_content; ++i) {
        const index_set next = element(set->content[i], expressions);
        const std::vector<index_set> before = out;
        for (const index_set& one : before) out.push_back(joined(one, next));
      }
      return out;
    }
    case PG_QUERY__GROUPING_SET_KIND__GROUPING_SET_SETS:
      for (std::size_t i = 0; i < set->n_content; ++i) {
        for (index_set& one : sets_of(set->content[i], expressions)) out.push_back(std::move(one));
      }
      return out;
    default:
      return {{}};
  }
}

}  // namespace

std::vector<std::vector<std::size_t>> grouping_sets(const select_statement* query,
                                                    std::vector<node*>& expressions) {
  std::vector<index_set> out{{}};
  for (std::size_t i = 0; i < query->n_group_clause; ++i) {
    std::vector<index_set> next;
    for (const index_set& factor : sets_of(query->group_clause[i], expressions)) {
      for (const index_set& one : out) next.push_back(joined(one, factor));
    }
    out = std::move(next);
  }
  return out;
}

bool never_null(const query_context& in, const select_statement* query, const node* expression) {
  const PgQuery__ColumnRef* column = column_ref(expression);
  if (column == nullptr) return false;
  const std::string alias(string_of(column->fields[0]));
  for (std::size_t i = 0; i < query->n_from_clause; ++i) {
    const std::optional<bool> null = made_null(query->from_clause[i], alias);
    if (!null) continue;
    if (*null) return false;
    if (const PgQuery__RangeSubselect* sub = subselect_of(query->from_clause[i], alias)) {
      const select_statement* inner = select_of(sub->subquery);
      if (is_set_operation(inner) || has_grouping_sets(inner)) return false;
      for (std::size_t k = 0; k < inner->n_target_list; ++k) {
        const PgQuery__ResTarget* target = res_target(inner->target_list[k]);
        if (string_of(column->fields[1]) == target->name) {
          return never_null(in, inner, target->val);
        }
      }
      return false;
    }
    const store::column_facts* facts = table_column(in, expression);
    return facts != nullptr && facts->not_null;
  }
  return false;
}

const store::column_facts* table_column(const query_context& in, const node* expression) {
  const PgQuery__ColumnRef* column = column_ref(expression);
  if (column == nullptr) return nullptr;
  const scan* table = in.query.scan_of(std::string(string_of(column->fields[0])));
  if (table == nullptr) return nullptr;
  for (const store::column_facts& one : table->table->columns) {
    if (one.name == string_of(column->fields[1])) return &one;
  }
  return nullptr;
}

bool have_one_equality(const query_context& in, const node* left, const node* right) {
  const store::column_facts* a = table_column(in, left);
  const store::column_facts* b = table_column(in, right);
  if (a == nullptr || b == nullptr || !a->hashable || !b->hashable) return false;
  const auto is_integer = [](const store::column_facts& one) {
    return one.type == "smallint" || one.type == "integer" || one.type == "bigint";
  };
  return a->type == b->type || (is_integer(*a) && is_integer(*b));
}

}  // namespace matview::incremental
