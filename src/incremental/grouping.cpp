#include "incremental/grouping.hpp"

#include <algorithm>
#include <set>

namespace matview::incremental {

bool has_grouping_sets(const relation& query) {
  const relation* aggregate = parts_of(query).aggregate;
  return aggregate != nullptr &&
         std::ranges::any_of(aggregate->expressions, [](const expression& item) {
           return item.tree->node_case == PG_QUERY__NODE__NODE_GROUPING_SET;
         });
}

std::vector<node*> group_expressions(const query_context& in, const relation& query) {
  std::vector<node*> out;
  const auto is_known = [&out](const node* expression) {
    return std::ranges::any_of(out, [&](const node* one) { return same(one, expression); });
  };
  const auto add = [&](node* expression) {
    if (!is_known(expression)) out.push_back(expression);
  };
  const select_parts parts = parts_of(query);
  if (parts.aggregate == nullptr) return out;
  for (const expression& one : parts.aggregate->expressions) add(one.tree);
  if (out.empty() || has_grouping_sets(query)) return out;
  const auto add_ungrouped = [&](const node* expression) {
    for (node* column : ungrouped_columns(in, expression, out)) add(column);
  };
  for (const expression& one : parts.project->expressions) add_ungrouped(res_target(one.tree)->val);
  if (parts.having != nullptr) add_ungrouped(parts.having->condition);
  return out;
}

std::vector<node*> ungrouped_columns(const query_context& in, const node* expression,
                                     const std::vector<node*>& groups) {
  std::vector<node*> out;
  node* rest = copy(in.memory, expression);
  replace(rest, [&](node* at) -> node* {
    const PgQuery__FuncCall* call = func_call(at);
    if (std::ranges::any_of(groups, [&](const node* one) { return same(one, at); }) ||
        (call != nullptr && is_aggregate(call, in.facts)) || sub_link(at) != nullptr ||
        at->node_case == PG_QUERY__NODE__NODE_GROUPING_FUNC) {
      return parse_expression(in.memory, "NULL");
    }
    if (column_ref(at) != nullptr) out.push_back(copy(in.memory, at));
    return at;
  });
  return out;
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

// GROUP BY DISTINCT: sets of the same columns, in whatever order, are one.
std::vector<index_set> each_once(const std::vector<index_set>& sets) {
  std::vector<index_set> out;
  std::set<std::set<std::size_t>> known;
  for (const index_set& one : sets) {
    if (known.emplace(one.begin(), one.end()).second) out.push_back(one);
  }
  return out;
}

}  // namespace

std::vector<std::vector<std::size_t>> grouping_sets(const relation& query,
                                                    std::vector<node*>& expressions) {
  std::vector<index_set> out{{}};
  for (const expression& item : parts_of(query).aggregate->expressions) {
    std::vector<index_set> next;
    for (const index_set& factor : sets_of(item.tree, expressions)) {
      for (const index_set& one : out) next.push_back(joined(one, factor));
    }
    out = std::move(next);
  }
  return parts_of(query).aggregate->sets_once ? each_once(out) : out;
}

}  // namespace matview::incremental
