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
