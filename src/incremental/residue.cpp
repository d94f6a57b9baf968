#include "incremental/residue.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace matview::incremental {

namespace {

void take_limit(select_statement* to, const select_statement* from) {
  to->limit_count = from->limit_count;
  to->limit_offset = from->limit_offset;
  to->limit_option = from->limit_option;
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

residue_order order_of(const query_context& in, const select_statement* query,
                       const store::query_facts& facts) {
  residue_order out;
  const bool set_operation = is_set_operation(query);
  for (std::size_t i = 0; i < query->n_sort_clause; ++i) {
    const node* item = query->sort_clause[i];
    node* expression = item->sort_by->node;
    if (set_operation || is_position(expression)) {
      const PgQuery__ColumnRef* column = column_ref(expression);
      node* by = column != nullptr
                     ? make_column(in.memory, "s", string_of(column->fields[column->n_fields - 1]))
                     : copy(in.memory, expression);
      out.sort.push_back(sort_item(in, item, by));
      continue;
    }
    std::string name;
    for (std::size_t k = 0; k < query->n_target_list && name.empty(); ++k) {
      if (same(res_target(query->target_list[k])->val, expression)) name = facts.output.at(k).name;
    }
    if (name.empty()) {
      out.hidden.push_back(expression);
      name = fmt::format("__mv_o{}", out.hidden.size());
    }
    out.sort.push_back(sort_item(in, item, make_column(in.memory, "s", name)));
  }
  return out;
}

std::string finish_view(const query_context& in, const select_statement* query,
                        const residue_order& order, const std::vector<std::string>& columns,
                        const std::string& from, const std::string& where) {
  select_statement* out = parse_query(in.memory, select_text(columns, from, where));
  out->n_sort_clause = order.sort.size();
  out->sort_clause = in.memory.array(order.sort);
  take_limit(out, query);
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

std::string group_residue::stored(const std::string& text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool alias =
        text.compare(at, 2, "s.") == 0 &&
        (at == 0 || std::string_view(" (,:-+*/=<>").find(text[at - 1]) != std::string_view::npos);
    if (alias) {
      ++at;
    } else {
      out += text[at];
    }
  }
  return out;
}

std::string finish_group_view(const group_residue& residue, const select_statement* query,
                              const select_statement* top, const std::vector<std::string>& columns,
                              const std::string& from, const std::string& where) {
  arena& memory = residue.in.memory;
  select_statement* out = parse_query(memory, select_text(columns, from, where));
  std::vector<node*> sort;
  for (std::size_t i = 0; i < query->n_sort_clause; ++i) {
    const node* item = query->sort_clause[i];
    node* by = item->sort_by->node;
    for (std::size_t k = 0; k < top->n_target_list; ++k) {
      if (!same(res_target(top->target_list[k])->val, by)) continue;
      // By position: with DISTINCT, ORDER BY must name what is selected, and this has a cast.
      by = parse_expression(memory, fmt::format("{}", k + 1));
      break;
    }
    sort.push_back(sort_item(residue.in, item, is_position(by) ? by : residue.over(by)));
  }
  out->n_sort_clause = sort.size();
  out->sort_clause = memory.array(sort);
  std::vector<node*> distinct;
  for (std::size_t i = 0; i < top->n_distinct_clause; ++i) {
    node* one = top->distinct_clause[i];
    distinct.push_back(one->node_case == PG_QUERY__NODE__NODE__NOT_SET ? one : residue.over(one));
  }
  out->n_distinct_clause = distinct.size();
  out->distinct_clause = memory.array(distinct);
  take_limit(out, query);
  return print(out);
}

}  // namespace matview::incremental
