// What a random query reads: the FROM clause, and subqueries in expressions.
#include "trial/query_generator.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace matview::trial {

namespace {

constexpr double many_rows = 3000;

scope with_alias(const scope& of, const std::string& alias) {
  scope result;
  for (field one : of) {
    one.text = alias + "." + one.text;
    result.push_back(std::move(one));
  }
  return result;
}

void append(scope& to, const scope& more) {
  to.insert(to.end(), more.begin(), more.end());
}

// What the outer side of an outer join offers may be NULL.
void make_nullable(scope& of) {
  for (field& one : of) one.not_null = false;
}

expr equality(const field& left, const field& right) {
  return {.form = "$0 = $1", .parts = {field_expr(left), field_expr(right)}};
}

from_item join_item(const char* how, from_item left, from_item right, std::vector<expr> on = {}) {
  from_item result{.join = how, .on = std::move(on)};
  result.sides.push_back(std::move(left));
  result.sides.push_back(std::move(right));
  return result;
}

}  // namespace

std::string query_generator::new_alias() {
  return fmt::format("t{}", ++aliases_);
}

query_generator::source query_generator::table_source(const table& of) const {
  source result{.name = of.name, .columns = {}, .rows = 25};
  for (const column& one : of.columns) {
    result.columns.push_back({.text = one.name, .type = one.type, .not_null = one.not_null});
  }
  return result;
}

query_generator::source query_generator::any_source() {
  if (!extra_.empty() && choose_.percent(45)) return choose_.of(extra_);
  const table& one = choose_.of(tables_.tables);
  if (one.kind == table_kind::partitioned) note("partitioned table");
  if (one.kind == table_kind::parent) note("inheritance");
  if (one.key.empty()) note("table without key");
  return table_source(one);
}

query_generator::relation query_generator::from_source(const source& of) {
  const std::string alias = new_alias();
  if (of.name.starts_with("w")) note("CTE");
  return {{.name = of.name, .alias = alias}, with_alias(of.columns, alias), of.rows};
}

query_generator::relation query_generator::base_relation() {
  return from_source(any_source());
}

query_generator::relation query_generator::subquery_relation(int depth) {
  const std::string alias = new_alias();
  shaped inner = any_select(depth - 1);
  if (choose_.percent(8)) limit(inner);
  note("subquery in FROM");
  relation result{{.alias = alias}, with_alias(inner.columns, alias), inner.rows};
  result.item.subquery.push_back(std::move(inner.body));
  return result;
}

query_generator::relation query_generator::values_relation() {
  note("VALUES");
  const std::string alias = new_alias();
  std::vector<std::string> rows;
  rows.reserve(3);
  for (int i = 0; i < 3; ++i) {
    rows.push_back(fmt::format("({}, {})", constant(value_type::integer, choose_),
                               constant(value_type::text, choose_)));
  }
  relation result{{.alias = alias, .columns = "a, c"},
                  {{alias + ".a", value_type::integer}, {alias + ".c", value_type::text}},
                  3};
  result.item.function.push_back({.form = "(VALUES " + joined(rows, ", ") + ")"});
  return result;
}

query_generator::relation query_generator::leaf(int depth) {
  if (depth > 0 && choose_.percent(18)) {
    relation inner = subquery_relation(depth);
    if (!inner.fields.empty()) return inner;
  }
  if (choose_.percent(4)) return values_relation();
  return base_relation();
}

bool query_generator::add_equality(std::vector<expr>& to, const scope& left, const scope& right) {
  std::vector<std::pair<field, field>> pairs;
  for (const field& l : left) {
    for (const field& r : right) {
      if (l.type != r.type || l.type == value_type::boolean) continue;
      // Integers thrice: the other types have domains that hardly tell rows apart.
      pairs.insert(pairs.end(), l.type == value_type::integer ? 3 : 1, {l, r});
    }
  }
  if (pairs.empty()) return false;
  const auto& chosen = choose_.of(pairs);
  to.push_back(equality(chosen.first, chosen.second));
  return true;
}

query_generator::relation query_generator::outer_or_inner(relation left, relation right) {
  std::vector<expr> on;
  const double product = left.rows * right.rows;
  const bool equal =
      !(product < many_rows && choose_.percent(8)) && add_equality(on, left.fields, right.fields);
  const std::size_t kind = choose_.weighted({45, 25, 10, equal ? 12 : 0, product < 900 ? 8 : 0});
  static constexpr const char* kinds[] = {"JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN",
                                          "CROSS JOIN"};
  relation result{{}, left.fields, equal && kind < 4 ? product / 6 : product};
  if (kind == 1 || kind == 3) make_nullable(right.fields);
  if (kind == 2 || kind == 3) make_nullable(result.fields);
  append(result.fields, right.fields);
  if (kind == 4) {
    on.clear();
  } else if (kind != 3 && (!equal || choose_.percent(20))) {
    on.push_back(random_condition(result.fields, choose_, 1));
  }
  if (!equal && kind < 3) note("theta join");
  note(kind == 0 ? "inner join" : kinds[kind]);
  result.item = join_item(kinds[kind], std::move(left.item), std::move(right.item), on);
  result.rows = std::max(result.rows, kind == 0 ? 1.0 : std::max(left.rows, right.rows));
  return result;
}

query_generator::relation query_generator::join(relation left, relation right) {
  if (left.rows * right.rows / 6 > many_rows * 2) return left;
  std::vector<expr> possible;
  if (left.rows * right.rows > many_rows && !add_equality(possible, left.fields, right.fields)) {
    return left;
  }
  return outer_or_inner(std::move(left), std::move(right));
}

query_generator::relation query_generator::lateral_function(relation left) {
  const auto number = find_field(left.fields, value_type::integer, choose_);
  if (!number) return left;
  note("LATERAL function");
  const std::string alias = new_alias();
  from_item item{.alias = alias, .columns = "v", .lateral = true};
  if (choose_.percent(60)) {
    item.function.push_back(
        {.form = "generate_series(1, least(abs($0), 3))", .parts = {field_expr(*number)}});
  } else {
    const auto other = find_field(left.fields, value_type::integer, choose_);
    item.function.push_back(
        {.form = "unnest(ARRAY[$0, $1])", .parts = {field_expr(*number), field_expr(*other)}});
  }
  relation result{{}, left.fields, left.rows * 2};
  result.fields.push_back({.text = alias + ".v"});
  result.item = join_item(choose_.percent(60) ? "CROSS JOIN" : "LEFT JOIN", std::move(left.item),
                          std::move(item));
  return result;
}

query_generator::relation query_generator::lateral_top(relation left) {
  relation inner = base_relation();
  std::vector<expr> where;
  if (!add_equality(where, left.fields, inner.fields)) return left;
  note("LATERAL top-N");
  const std::string alias = new_alias();
  query body = start_select(inner);
  body.where.insert(body.where.begin(), where.begin(), where.end());
  body.targets.clear();
  for (int i = choose_.between(1, 2); i >= 0; --i) {
    add_target(body, field_expr(choose_.of(inner.fields)));
  }
  shaped top = finish(std::move(body), 2);
  top.body.limit = choose_.between(1, 3);
  top.body.descending = choose_.percent(50);
  from_item item{.alias = alias, .lateral = true};
  item.subquery.push_back(std::move(top.body));
  scope fields = with_alias(top.columns, alias);
  make_nullable(fields);
  relation result{{}, left.fields, left.rows * 2};
  append(result.fields, fields);
  result.item = join_item(choose_.percent(50) ? "CROSS JOIN" : "LEFT JOIN", std::move(left.item),
                          std::move(item));
  return result;
}

query_generator::relation query_generator::add_lateral(relation left) {
  if (left.rows > many_rows) return left;
  return choose_.percent(50) ? lateral_function(std::move(left)) : lateral_top(std::move(left));
}

// a LEFT JOIN (b JOIN c ON ..) ON ..
query_generator::relation query_generator::right_nested(relation left, int depth) {
  relation inner = join(leaf(depth), base_relation());
  return join(std::move(left), std::move(inner));
}

query_generator::relation query_generator::any_from(int depth) {
  relation result = leaf(depth);
  const int joins = static_cast<int>(choose_.weighted({38, 34, 18, 10}));
  for (int i = 0; i < joins; ++i) {
    if (i == 0 && choose_.percent(15) && !result.item.name.empty()) {
      // The same again: each occurrence of a table counts for itself.
      const std::string name = result.item.name;
      const auto self = std::ranges::find(tables_.tables, name, &table::name);
      if (self != tables_.tables.end()) {
        note("self-join");
        result = join(std::move(result), from_source(table_source(*self)));
        continue;
      }
    }
    result = choose_.percent(10) ? right_nested(std::move(result), depth)
                                 : join(std::move(result), leaf(depth));
  }
  if (choose_.percent(9)) result = add_lateral(std::move(result));
  return result;
}

query query_generator::correlated(const scope& outer, expr output, const relation& inner) {
  query body;
  body.targets.push_back({.name = "c0", .value = std::move(output)});
  body.from.push_back(inner.item);
  add_equality(body.where, inner.fields, outer);
  if (choose_.percent(40)) body.where.push_back(random_condition(inner.fields, choose_, 1));
  if (choose_.percent(15)) {
    scope both = inner.fields;
    append(both, outer);
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
  if (value.type == value_type::array) value = {.form = "count(*)", .type = value_type::bigint};
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
