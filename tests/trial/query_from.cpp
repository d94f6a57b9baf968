// What a random query reads: the FROM clause.
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

bool is_whole(value_type type) {
  return type == value_type::integer || type == value_type::bigint || type == value_type::whole;
}

// Who chooses among the fields will more likely choose this one.
void prefer(scope& in, const field& one) {
  in.insert(in.end(), 2, one);
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
  if (choose_.percent(20)) add_constant(inner);
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

// What is never NULL below an outer join, and NULL above it.
void query_generator::add_mark(query& to, scope& fields, const scope& in) {
  using enum value_type;
  const bool constant_only = to.group != grouping::none;
  expr value{.form = choose_.one_of({"5", "1", "3"}), .type = integer};
  const std::size_t kind = choose_.weighted({35, 30, 10, constant_only ? 0 : 25});
  if (kind == 1) value = {.form = choose_.one_of({"true", "true", "false"}), .type = boolean};
  if (kind == 2) value = {.form = "'p'::text", .type = text};
  const auto number = find_field(in, integer, choose_);
  if (kind == 3 && number) {
    value = {.form = choose_.one_of({"coalesce($0, 0)", "CASE WHEN $0 > 3 THEN 1 ELSE 0 END"}),
             .type = integer,
             .parts = {field_expr(*number)}};
  }
  fields.push_back(
      {.text = fmt::format("c{}", to.targets.size()), .type = value.type, .not_null = true});
  add_target(to, std::move(value));
}

// (SELECT a AS c0, true AS c1 FROM ..)
query_generator::relation query_generator::marked_relation() {
  note("derived table with a constant");
  const std::string alias = new_alias();
  relation inner = base_relation();
  query body;
  body.from.push_back(inner.item);
  if (choose_.percent(35)) body.where.push_back(random_condition(inner.fields, choose_, 1));
  scope fields;
  for (int i = choose_.between(1, 2); i > 0; --i) {
    const auto number = find_field(inner.fields, value_type::integer, choose_);
    field one = number && i == 1 ? *number : choose_.of(inner.fields);
    add_target(body, field_expr(one));
    one.text = body.targets.back().name;
    fields.push_back(std::move(one));
  }
  if (choose_.percent(20)) {
    body.group = grouping::plain;
    for (const target& one : body.targets) body.keys.push_back(one.value);
  }
  body.distinct = choose_.percent(10);
  add_mark(body, fields, inner.fields);
  prefer(fields, fields.back());
  relation result{{.alias = alias}, with_alias(fields, alias), inner.rows};
  result.item.subquery.push_back(std::move(body));
  return result;
}

query_generator::relation query_generator::join_marked(relation left) {
  relation right = marked_relation();
  std::vector<expr> on;
  if (left.rows * right.rows > many_rows * 6 || !add_equality(on, left.fields, right.fields)) {
    return left;
  }
  const char* how =
      choose_.one_of({"LEFT JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "JOIN"});
  const field mark = right.fields.back();
  if (choose_.percent(40)) {
    if (auto tie = loose_tie(mark, left.fields, choose_)) left.where.push_back(std::move(*tie));
  }
  relation result{{}, left.fields, std::max(left.rows, right.rows), std::move(left.where)};
  append(result.fields, right.fields);
  make_nullable(result.fields);
  note(how);
  const bool swapped = choose_.percent(15);
  result.item = swapped ? join_item(how, std::move(right.item), std::move(left.item), on)
                        : join_item(how, std::move(left.item), std::move(right.item), on);
  return result;
}

query_generator::relation query_generator::leaf(int depth) {
  if (depth > 0 && choose_.percent(18)) {
    relation inner = subquery_relation(depth);
    if (!inner.fields.empty()) return inner;
  }
  if (choose_.percent(4)) return values_relation();
  if (choose_.percent(4)) return marked_relation();
  return base_relation();
}

bool query_generator::add_equality(std::vector<expr>& to, const scope& left, const scope& right) {
  std::vector<std::pair<field, field>> pairs;
  const bool across = choose_.percent(8);
  for (const field& l : left) {
    for (const field& r : right) {
      if (across && l.type != r.type && is_whole(l.type) && is_whole(r.type)) {
        pairs.insert(pairs.end(), 3, {l, r});
      }
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
  if (equal && kind != 3 && choose_.percent(10)) {
    // What an earlier outer join made NULL decides a later join.
    if (auto tie = loose_tie(left.fields.back(), right.fields, choose_)) on.push_back(*tie);
  }
  relation result{
      {}, left.fields, equal && kind < 4 ? product / 6 : product, std::move(left.where)};
  result.where.insert(result.where.end(), right.where.begin(), right.where.end());
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
  if (const auto list = find_field(left.fields, value_type::array, choose_);
      list && choose_.percent(50)) {
    item.function.push_back({.form = "unnest($0)", .parts = {field_expr(*list)}});
  } else if (choose_.percent(60)) {
    item.function.push_back(
        {.form = "generate_series(1, least(abs($0), 3))", .parts = {field_expr(*number)}});
  } else {
    const auto other = find_field(left.fields, value_type::integer, choose_);
    item.function.push_back(
        {.form = "unnest(ARRAY[$0, $1])", .parts = {field_expr(*number), field_expr(*other)}});
  }
  return lateral_with(std::move(left), std::move(item), {{.text = alias + ".v"}});
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
  if (choose_.percent(25)) {
    top.body.order.push_back(order_value(inner.fields));
  }
  from_item item{.alias = alias, .lateral = true};
  item.subquery.push_back(std::move(top.body));
  scope fields = with_alias(top.columns, alias);
  return lateral_with(std::move(left), std::move(item), std::move(fields));
}

query_generator::relation query_generator::lateral_with(relation left, from_item item,
                                                        scope fields) {
  make_nullable(fields);
  relation result{{}, left.fields, left.rows * 2, std::move(left.where)};
  append(result.fields, fields);
  result.item = join_item(choose_.percent(40) ? "CROSS JOIN" : "LEFT JOIN", std::move(left.item),
                          std::move(item));
  return result;
}

query_generator::relation query_generator::lateral_pass(relation left) {
  const scope fields = left.fields;
  return pass_through(std::move(left), fields, base_relation());
}

// LATERAL (SELECT t1.k AS c0, t2.x AS c1 FROM t2 WHERE t2.k = t1.k): NULL where t2 has no row.
query_generator::relation query_generator::pass_through(relation left, const scope& from,
                                                        relation inner) {
  std::vector<expr> where;
  if (!add_equality(where, from, inner.fields)) return left;
  note("LATERAL that passes a column through");
  query body = start_select(inner);
  body.where.insert(body.where.begin(), where.begin(), where.end());
  const field passed = choose_.of(from);
  add_target(body, field_expr(passed));
  scope fields{{.text = "c0", .type = passed.type}};
  const bool total = choose_.percent(20);
  if (choose_.percent(20)) add_mark(body, fields, total ? scope{} : inner.fields);
  for (int i = choose_.between(total ? 1 : 0, 2); i > 0; --i) {
    add_target(body, total ? random_aggregate(inner.fields, choose_)
                           : field_expr(choose_.of(inner.fields)));
    fields.push_back({.text = body.targets.back().name, .type = body.targets.back().value.type});
  }
  if (!total && choose_.percent(25)) {
    note("LIMIT in LATERAL");
    body.limit = choose_.between(1, 3);
  }
  const std::string alias = new_alias();
  from_item item{.alias = alias, .lateral = true};
  item.subquery.push_back(std::move(body));
  fields = with_alias(fields, alias);
  const field result = fields.front();
  prefer(fields, result);
  if (choose_.percent(30)) {
    if (auto tie = loose_tie(result, left.fields, choose_)) left.where.push_back(std::move(*tie));
  }
  return lateral_with(std::move(left), std::move(item), std::move(fields));
}

// LATERAL (VALUES ('x', (SELECT count(*) FROM t2 WHERE t2.k = t1.k)), ('y', t1.x))
query_generator::relation query_generator::lateral_values(relation left) {
  note("subquery in VALUES");
  const std::string alias = new_alias();
  expr rows = scalar_subquery(left.fields);
  const value_type type = rows.type;
  rows.form = "(VALUES ('x'::text, (@0)))";
  if (choose_.percent(65)) {
    rows.form = "(VALUES ('x'::text, (@0)), ('y', $0))";
    rows.parts.push_back(random_value_of(type, left.fields, choose_, 1));
  }
  from_item item{.alias = alias, .columns = "c, v", .lateral = true};
  item.function.push_back(std::move(rows));
  return lateral_with(
      std::move(left), std::move(item),
      {{.text = alias + ".c", .type = value_type::text}, {.text = alias + ".v", .type = type}});
}

// LATERAL unnest(ARRAY(SELECT ..)) or generate_series(1, (SELECT ..))
query_generator::relation query_generator::lateral_list(relation left) {
  note("subquery in a function in FROM");
  const std::string alias = new_alias();
  const relation inner = base_relation();
  const auto number = find_field(inner.fields, value_type::integer, choose_);
  const bool list = number && choose_.percent(60);
  expr output =
      list ? field_expr(*number) : expr{.form = "least(count(*), 3)", .type = value_type::bigint};
  const value_type type = output.type;
  expr call{.form = list ? "unnest(ARRAY(@0))" : "generate_series(1, (@0))", .type = type};
  call.queries.push_back(correlated(left.fields, std::move(output), inner));
  from_item item{.alias = alias, .columns = "v", .lateral = true};
  item.function.push_back(std::move(call));
  return lateral_with(std::move(left), std::move(item), {{.text = alias + ".v", .type = type}});
}

query_generator::relation query_generator::add_lateral(relation left) {
  if (left.rows > many_rows) return left;
  switch (choose_.weighted({30, 25, 27, 9, 9})) {
    case 0:
      return lateral_function(std::move(left));
    case 1:
      return lateral_top(std::move(left));
    case 2:
      return lateral_pass(std::move(left));
    case 3:
      return lateral_values(std::move(left));
    default:
      return lateral_list(std::move(left));
  }
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
    if (choose_.percent(3)) result = add_lateral(std::move(result));
  }
  if (choose_.percent(8)) {
    result = join_marked(std::move(result));
    if (choose_.percent(30)) result = join(std::move(result), base_relation());
  }
  if (choose_.percent(10)) {
    result = add_lateral(std::move(result));
    if (choose_.percent(15)) result = join(std::move(result), base_relation());
  }
  return result;
}

// (SELECT a AS c0, b AS c1 FROM .. UNION ALL SELECT m AS c0, a AS c1 FROM ..)
query_generator::relation query_generator::mixed_union() {
  note("branches of other types");
  query body;
  body.set_operation = choose_.one_of({"UNION ALL", "UNION ALL", "UNION", "EXCEPT ALL"});
  scope fields{{.text = "c0", .type = value_type::integer}, {.text = "c1"}};
  double rows = 0;
  for (int i = 0; i < 2; ++i) {
    const relation inner = base_relation();
    query branch;
    branch.from.push_back(inner.item);
    if (choose_.percent(30)) branch.where.push_back(condition(inner.fields));
    const auto other = find_field(
        inner.fields, choose_.percent(60) ? value_type::whole : value_type::bigint, choose_);
    const bool plain = !other || choose_.percent(40);
    expr first =
        plain ? random_value_of(value_type::integer, inner.fields, choose_, 0) : field_expr(*other);
    if (plain && i == 1 && choose_.percent(50)) {
      first = {.form = "($0)::numeric", .type = value_type::whole, .parts = {first}};
    }
    fields[0].type = wider(fields[0].type, first.type);
    add_target(branch, std::move(first));
    add_target(branch, random_value_of(value_type::integer, inner.fields, choose_, 0));
    body.branches.push_back(std::move(branch));
    rows += inner.rows;
  }
  if (choose_.percent(30)) {
    // By which branch a row comes.
    int number = 0;
    for (query& branch : body.branches) {
      add_target(branch, {.form = std::to_string(++number), .type = value_type::integer});
    }
    fields.push_back({.text = "c2", .not_null = true});
  }
  const std::string alias = new_alias();
  relation result{{.alias = alias}, with_alias(fields, alias), rows};
  prefer(result.fields, result.fields.front());
  result.item.subquery.push_back(std::move(body));
  return result;
}

// Little, so that most of it can be kept incrementally: a table and one thing that is easily wrong.
query_generator::relation query_generator::odd_from() {
  relation result = from_source(table_source(choose_.of(tables_.tables)));
  switch (choose_.weighted({34, 26, 6, 6, 16, 12})) {
    case 0:
      result = join_marked(std::move(result));
      break;
    case 1:
      result = lateral_pass(std::move(result));
      break;
    case 2:
      result = lateral_values(std::move(result));
      break;
    case 3:
      result = lateral_list(std::move(result));
      break;
    case 4:
      result = choose_.percent(40) ? mixed_union() : join(std::move(result), mixed_union());
      break;
    default: {
      const std::string alias = new_alias();
      shaped chosen = distinct_on_select(0);
      relation inner{{.alias = alias}, with_alias(chosen.columns, alias), chosen.rows};
      inner.item.subquery.push_back(std::move(chosen.body));
      result = choose_.percent(50) ? inner : join(std::move(result), std::move(inner));
    }
  }
  if (choose_.percent(30)) result = join(std::move(result), base_relation());
  if (choose_.percent(12)) result = join_marked(std::move(result));
  if (choose_.percent(8)) result = lateral_pass(std::move(result));
  return result;
}

}  // namespace matview::trial
