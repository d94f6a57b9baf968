// Subqueries in the expressions of a random query, and conditions that may have some.
#include "trial/query_generator.hpp"

#include <utility>
#include <vector>

namespace matview::trial {

query query_generator::correlated(const scope& outer, expr output, const relation& inner) {
  query body;
  body.targets.push_back({.name = "c0", .value = std::move(output)});
  body.from.push_back(inner.item);
  add_equality(body.where, inner.fields, outer);
  if (choose_.percent(40)) body.where.push_back(random_condition(inner.fields, choose_, 1));
  if (choose_.percent(15)) {
    scope both = inner.fields;
    both.insert(both.end(), outer.begin(), outer.end());
    body.where.push_back(random_condition(both, choose_, 1));
  }
  return body;
}

expr query_generator::exists_condition(const scope& outer) {
  const bool negated = choose_.percent(45);
  note(negated ? "NOT EXISTS" : "EXISTS");
  relation inner = base_relation();
  if (choose_.percent(15)) inner = join(std::move(inner), base_relation());
  expr one{.form = "1", .type = value_type::integer};
  expr result{.form = negated ? "NOT EXISTS (@0)" : "EXISTS (@0)"};
  result.queries.push_back(correlated(outer, std::move(one), inner));
  return result;
}

expr query_generator::in_condition(const scope& outer) {
  const bool negated = choose_.percent(40);
  const relation inner = base_relation();
  std::vector<std::pair<field, field>> pairs;
  for (const field& l : outer) {
    for (const field& r : inner.fields) {
      if (l.type == r.type) pairs.emplace_back(l, r);
    }
  }
  if (pairs.empty()) return exists_condition(outer);
  if (negated && choose_.percent(50)) {
    // What can be kept incrementally: neither side is ever NULL.
    auto sure = pairs;
    std::erase_if(sure,
                  [](const auto& pair) { return !pair.first.not_null || !pair.second.not_null; });
    if (!sure.empty()) pairs = sure;
  }
  const auto [left, right] = choose_.of(pairs);
  if (negated) note(left.not_null && right.not_null ? "NOT IN, not null" : "NOT IN, nullable");
  if (!negated) note("IN");
  query body;
  body.targets.push_back({.name = "c0", .value = field_expr(right)});
  body.from.push_back(inner.item);
  if (choose_.percent(60)) body.where.push_back(random_condition(inner.fields, choose_, 1));
  expr result{.form = negated ? "$0 NOT IN (@0)" : "$0 IN (@0)", .parts = {field_expr(left)}};
  result.queries.push_back(std::move(body));
  return result;
}

expr query_generator::scalar_subquery(const scope& outer) {
  const relation inner = base_relation();
  expr value = random_aggregate(inner.fields, choose_);
  expr result{.form = "(@0)", .type = value.type};
  result.queries.push_back(correlated(outer, std::move(value), inner));
  if (choose_.percent(6)) {
    note("uncorrelated scalar subquery");
    result.queries.front().where.clear();
  } else {
    note("scalar subquery");
  }
  return result;
}

// (SELECT max(i.x) FROM i WHERE i.k = t1.k AND i.y = max(t1.a)), in a query grouped by t1.k.
expr query_generator::of_outer_aggregate(const query& of, const scope& outer, bool in_having) {
  using enum value_type;
  note("subquery with an outer aggregate");
  scope keys;
  for (const expr& key : of.keys) {
    if (key.parts.empty()) keys.push_back({.text = key.form, .type = key.type});
  }
  const relation inner = base_relation();
  expr total{.form = "count($0)", .type = bigint, .parts = {field_expr(choose_.of(outer))}};
  if (const auto number = find_field(outer, integer, choose_)) {
    total = {.form = choose_.one_of({"max($0)", "min($0)", "count($0)", "sum($0)"}),
             .type = integer,
             .parts = {field_expr(*number)}};
  }
  query body;
  body.from.push_back(inner.item);
  add_equality(body.where, inner.fields, keys);
  if (const auto number = find_field(inner.fields, integer, choose_)) {
    body.where.push_back({.form = choose_.one_of({"$0 = $1", "$0 <= $1", "$0 IS DISTINCT FROM $1"}),
                          .parts = {field_expr(*number), std::move(total)}});
  }
  expr value{.form = "1", .type = integer};
  if (!in_having) value = random_aggregate(inner.fields, choose_);
  expr result{.form = in_having ? "(count(*) > 4 OR EXISTS (@0))" : "(@0)",
              .type = in_having ? boolean : value.type};
  body.targets.push_back({.name = "c0", .value = std::move(value)});
  result.queries.push_back(std::move(body));
  return result;
}

expr query_generator::condition(const scope& in) {
  switch (choose_.weighted({76, 12, 9, 3})) {
    case 0:
      return random_condition(in, choose_);
    case 1:
      return exists_condition(in);
    case 2:
      return in_condition(in);
    default: {
      expr value = scalar_subquery(in);
      const value_type type = value.type;
      expr other = random_value_of(type, in, choose_, 1);
      expr result{.form = "$0 >= $1"};
      result.parts.push_back(std::move(value));
      result.parts.push_back(std::move(other));
      return result;
    }
  }
}

}  // namespace matview::trial
