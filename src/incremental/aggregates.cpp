#include "incremental/aggregates.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

namespace matview::incremental {

namespace {

std::string_view name_of(const PgQuery__FuncCall* call) {
  if (call->n_funcname > 1 && string_of(call->funcname[0]) != "pg_catalog") return "";
  return string_of(call->funcname[call->n_funcname - 1]);
}

std::size_t index_in(std::vector<aggregate_state::total>& totals, node* of, bool number_only) {
  for (std::size_t i = 0; i < totals.size(); ++i) {
    if (!same(totals[i].of, of)) continue;
    totals[i].number_only = totals[i].number_only && number_only;
    return i;
  }
  totals.push_back({of, number_only});
  return totals.size() - 1;
}

std::size_t place_of(const std::vector<aggregate_state::total>& totals, const node* of) {
  return static_cast<std::size_t>(
      std::find_if(totals.begin(), totals.end(),
                   [&](const aggregate_state::total& one) { return same(one.of, of); }) -
      totals.begin());
}

// What is summed for an aggregate.
node* summed(const query_context& in, const node* call) {
  node* argument = argument_of(in, call);
  const std::string_view name = name_of(func_call(call));
  if (name == "bool_and" || name == "bool_or" || name == "every") {
    return parse_expression(in.memory, fmt::format("({})::pg_catalog.int4", print(argument)));
  }
  return argument;
}

}  // namespace

node* argument_of(const query_context& in, const node* call) {
  const PgQuery__FuncCall* function = func_call(call);
  const std::string argument = function->agg_star != 0 ? "1" : print(function->args[0]);
  if (function->agg_filter == nullptr) return parse_expression(in.memory, argument);
  return parse_expression(
      in.memory, fmt::format("CASE WHEN {} THEN {} END", print(function->agg_filter), argument));
}

std::optional<std::string> add_to_state(const query_context& in, const node* call,
                                        aggregate_state& state) {
  const PgQuery__FuncCall* function = func_call(call);
  const std::string_view name = name_of(function);
  const bool extreme = name == "min" || name == "max";
  if (function->agg_distinct != 0 && !extreme) {
    return fmt::format("{}(DISTINCT ...) needs to know all values of a group", name);
  }
  if (function->agg_within_group != 0) {
    return fmt::format("{}() needs the values of a group in order", name);
  }
  if (function->n_args > 1 || (function->n_args == 0 && function->agg_star == 0)) {
    return fmt::format("{}() is not updated from changes alone", name);
  }
  if (name == "count" && function->agg_star != 0 && function->agg_filter == nullptr) return {};
  if (name == "count") {
    index_in(state.totals, argument_of(in, call), true);
    return {};
  }
  if (name == "sum" || name == "avg" || name == "bool_and" || name == "bool_or" ||
      name == "every") {
    index_in(state.totals, summed(in, call), false);
    return {};
  }
  if (extreme) {
    node* of = argument_of(in, call);
    const bool known = std::any_of(
        state.extremes.begin(), state.extremes.end(),
        [&](const auto& one) { return one.least == (name == "min") && same(one.of, of); });
    if (!known) state.extremes.push_back({of, name == "min"});
    return {};
  }
  return fmt::format("{}() is not updated from changes alone",
                     print(call).substr(0, print(call).find('(')));
}

std::string value_from_state(const query_context& in, const node* call,
                             const aggregate_state& state) {
  const PgQuery__FuncCall* function = func_call(call);
  const std::string_view name = name_of(function);
  if (name == "count" && function->agg_star != 0 && function->agg_filter == nullptr) {
    return "s.__mv_n1";
  }
  if (name == "min" || name == "max") {
    node* of = argument_of(in, call);
    for (std::size_t i = 0; i < state.extremes.size(); ++i) {
      const aggregate_state::extreme& one = state.extremes[i];
      if (one.least == (name == "min") && same(one.of, of)) return fmt::format("s.__mv_m{}", i + 1);
    }
  }
  node* of = name == "count" ? argument_of(in, call) : summed(in, call);
  const std::size_t i = place_of(state.totals, of) + 1;
  if (name == "count") return fmt::format("s.__mv_c{}", i);
  if (name == "sum") return fmt::format("CASE WHEN s.__mv_c{0} > 0 THEN s.__mv_s{0} END", i);
  if (name == "avg") {
    return fmt::format("CASE WHEN s.__mv_c{0} > 0 THEN s.__mv_s{0}::numeric / s.__mv_c{0} END", i);
  }
  if (name == "bool_or")
    return fmt::format("CASE WHEN s.__mv_c{0} > 0 THEN s.__mv_s{0} > 0 END", i);
  return fmt::format("CASE WHEN s.__mv_c{0} > 0 THEN s.__mv_s{0} = s.__mv_c{0} END", i);
}

std::vector<const node*> averaged(const std::vector<node*>& calls) {
  std::vector<const node*> out;
  for (const node* call : calls) {
    if (name_of(func_call(call)) == "avg") out.push_back(call);
  }
  return out;
}

namespace {

bool is_sum_of(const query_context& in, const node* expression, const node* argument) {
  const PgQuery__FuncCall* call = func_call(expression);
  return call != nullptr && is_aggregate(call, in.facts) && name_of(call) == "sum" &&
         same(argument_of(in, expression), argument);
}

// Whether it is 0 if sum(argument) is 0.
bool vanishes_with(const query_context& in, const node* expression, const node* argument) {
  if (expression == nullptr) return false;
  if (is_sum_of(in, expression, argument)) return true;
  const PgQuery__AExpr* both = operation(expression);
  const std::string_view name = operator_of(expression);
  if (name == "*") {
    return vanishes_with(in, both->lexpr, argument) || vanishes_with(in, both->rexpr, argument);
  }
  return name == "/" && vanishes_with(in, both->lexpr, argument);
}

}  // namespace

scale_use scale_used(const query_context& in, node* output, const node* argument) {
  static const std::set<std::string_view> by_value{"+", "-", "*", "=", "<>", "<", ">", "<=", ">="};
  const auto used_in = [&](const std::vector<node*>& parts) {
    scale_use out = scale_use::none;
    for (node* one : parts) {
      if (one != nullptr) out = std::max(out, scale_used(in, one, argument));
    }
    return out;
  };
  const auto used_in_list = [&](node* const* items, std::size_t n) {
    return used_in({items, items + n});
  };
  const std::vector<node*> calls = aggregates_in(in, output);
  if (std::ranges::find(calls, output) != calls.end()) return scale_use::none;
  if (std::ranges::none_of(calls, [&](node* call) { return is_sum_of(in, call, argument); })) {
    return scale_use::none;
  }
  switch (output->node_case) {
    case PG_QUERY__NODE__NODE_A_EXPR: {
      const PgQuery__AExpr* both = operation(output);
      const scale_use sides = used_in({both->lexpr, both->rexpr});
      if (operator_of(output) == "/") {
        return vanishes_with(in, both->lexpr, argument) ? std::max(sides, scale_use::quotient)
                                                        : scale_use::digits;
      }
      return by_value.contains(operator_of(output)) ? sides : scale_use::digits;
    }
    case PG_QUERY__NODE__NODE_BOOL_EXPR:
      return used_in_list(output->bool_expr->args, output->bool_expr->n_args);
    case PG_QUERY__NODE__NODE_NULL_TEST:
      return scale_use::none;
    case PG_QUERY__NODE__NODE_COALESCE_EXPR:
      return used_in_list(output->coalesce_expr->args, output->coalesce_expr->n_args);
    case PG_QUERY__NODE__NODE_CASE_EXPR: {
      const PgQuery__CaseExpr* cases = output->case_expr;
      std::vector<node*> parts{cases->arg, cases->defresult};
      for (std::size_t i = 0; i < cases->n_args; ++i) {
        parts.push_back(cases->args[i]->case_when->expr);
        parts.push_back(cases->args[i]->case_when->result);
      }
      return used_in(parts);
    }
    default:
      return scale_use::digits;
  }
}

}  // namespace matview::incremental
