#include "incremental/residue.hpp"

#include "incremental/projection.hpp"
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>

namespace matview::incremental {

namespace {

void take_limit(select_statement* to, const relation* limit) {
  if (limit == nullptr) return;
  to->limit_count = limit->bounds->limit_count;
  to->limit_offset = limit->bounds->limit_offset;
  to->limit_option = limit->bounds->limit_option;
}

std::span<const expression> sort_items(const relation* sort) {
  return sort == nullptr ? std::span<const expression>() : sort->expressions;
}

std::string select_text(const std::vector<std::string>& columns, const std::string& from,
                        const std::string& where) {
  return fmt::format("SELECT {} FROM {}{}{}", fmt::join(columns, ", "), from,
                     where.empty() ? "" : " WHERE ", where);
}

node* sort_item(const query_context& in, const node* like, node* expression) {
  node* out = copy(in.memory, like);
  out->sort_by->node = expression;
  return out;
}

bool is_position(const node* expression) {
  return expression->node_case == PG_QUERY__NODE__NODE_A_CONST;
}

}  // namespace

residue_order order_of(const query_context& in, const relation& query) {
  residue_order out;
  const select_parts parts = parts_of(query);
  const std::vector<node*> shown =
      parts.project == nullptr ? std::vector<node*>() : shown_by(*parts.project);
  for (const expression& one : sort_items(parts.sort)) {
    const node* item = one.tree;
    node* by = item->sort_by->node;
    if (is_set_operation(*parts.from) || is_position(by)) {
      const PgQuery__ColumnRef* column = column_ref(by);
      by = column != nullptr
               ? make_column(in.memory, "s", string_of(column->fields[column->n_fields - 1]))
               : copy(in.memory, by);
      out.sort.push_back(sort_item(in, item, by));
      continue;
    }
    const auto found = std::ranges::find_if(shown, [&](const node* o) { return same(o, by); });
    std::string name;
    if (found != shown.end()) {
      name = in.facts.output.at(static_cast<std::size_t>(found - shown.begin())).name;
    } else {
      out.hidden.push_back(by);
      name = fmt::format("__mv_o{}", out.hidden.size());
    }
    out.sort.push_back(sort_item(in, item, make_column(in.memory, "s", name)));
  }
  return out;
}

std::string finish_view(const query_context& in, const relation& query, const residue_order& order,
                        const std::vector<std::string>& columns, const std::string& from,
                        const std::string& where) {
  select_statement* out = parse_query(in.memory, select_text(columns, from, where));
  out->n_sort_clause = order.sort.size();
  out->sort_clause = in.memory.array(order.sort);
  take_limit(out, parts_of(query).limit);
  return print(out);
}

node* group_residue::over(const node* expression) const {
  node* out = copy(in.memory, expression);
  replace(out, [&](node* at) -> node* {
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (same(keys[i], at)) return make_column(in.memory, "s", names[i]);
    }
    const PgQuery__FuncCall* call = func_call(at);
    if (call != nullptr && is_aggregate(call, in.facts)) {
      return parse_expression(in.memory, value_from_state(in, at, state));
    }
    if (at->node_case != PG_QUERY__NODE__NODE_GROUPING_FUNC) return at;
    // GROUPING(a, b): a bit for each, set where the column is not grouped by.
    std::string bits = "CASE s.__mv_set";
    for (std::size_t set = 0; set < sets.size(); ++set) {
      int value = 0;
      for (std::size_t k = 0; k < at->grouping_func->n_args; ++k) {
        const node* argument = at->grouping_func->args[k];
        const bool grouped = std::any_of(sets[set].begin(), sets[set].end(), [&](std::size_t one) {
          return same(keys[one], argument);
        });
        value = value * 2 + (grouped ? 0 : 1);
      }
      bits += fmt::format(" WHEN {} THEN {}", set, value);
    }
    return parse_expression(in.memory, sets.empty() ? "0" : bits + " END");
  });
  return out;
}

std::string group_residue::stored(const node* expression) const {
  node* out = over(expression);
  replace(out, [&](node* at) -> node* {
    PgQuery__ColumnRef* column = column_ref(at);
    if (column == nullptr || column->n_fields < 2) return at;
    --column->n_fields;
    ++column->fields;
    return at;
  });
  return print(out);
}

std::string finish_group_view(const group_residue& residue, const relation& query,
                              const std::vector<std::string>& columns, const std::string& from,
                              const std::string& where) {
  arena& memory = residue.in.memory;
  const select_parts parts = parts_of(query);
  select_statement* out = parse_query(memory, select_text(columns, from, where));
  std::vector<node*> sort;
  const std::vector<node*> shown = shown_by(*parts.project);
  for (const expression& item : sort_items(parts.sort)) {
    node* by = item.tree->sort_by->node;
    const auto found = std::ranges::find_if(shown, [&](const node* one) { return same(one, by); });
    if (found != shown.end()) {
      // By position: with DISTINCT, ORDER BY must name what is selected, and this has a cast.
      by = parse_expression(memory, fmt::format("{}", found - shown.begin() + 1));
    }
    sort.push_back(sort_item(residue.in, item.tree, is_position(by) ? by : residue.over(by)));
  }
  out->n_sort_clause = sort.size();
  out->sort_clause = memory.array(sort);
  std::vector<node*> distinct;
  if (parts.distinct != nullptr && parts.distinct->kind == relation_kind::distinct) {
    distinct.push_back(memory.make<node>(pg_query__node__init));
  } else if (parts.distinct != nullptr) {
    for (const expression& one : parts.distinct->expressions) {
      distinct.push_back(residue.over(one.tree));
    }
  }
  out->n_distinct_clause = distinct.size();
  out->distinct_clause = memory.array(distinct);
  take_limit(out, parts.limit);
  return print(out);
}

}  // namespace matview::incremental
