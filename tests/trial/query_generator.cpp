// What a random query makes of what it reads: SELECT in its forms, and set operations.
#include "trial/query_generator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace matview::trial {

namespace {

constexpr int most_targets = 4;

// Grouped on, partitioned by: not what is an aggregate's and may be of any scale.
expr key_of(const scope& in, dice& choose) {
  if (choose.percent(70)) return field_expr(choose.of(in));
  if (choose.percent(10)) {
    const auto left = find_field(in, value_type::integer, choose);
    const auto right = find_field(in, value_type::integer, choose);
    if (left && right) {
      return {.form = "ARRAY[$0, $1]",
              .type = value_type::array,
              .parts = {field_expr(*left), field_expr(*right)}};
    }
  }
  if (const auto whole = find_field(in, value_type::whole, choose); whole && choose.percent(20)) {
    return {.form = "($0 / 2)", .type = value_type::wide, .parts = {field_expr(*whole)}};
  }
  const auto number = find_field(in, value_type::integer, choose);
  if (!number) return field_expr(choose.of(in));
  return {.form = choose.one_of(
              {"($0 % 3)", "($0 / 2)", "coalesce($0, -1)", "($0 + 1)", "nullif($0, 2)"}),
          .type = value_type::integer,
          .parts = {field_expr(*number)}};
}

// The fields that FROM itself reads, by which its items are tied.
scope ties_of(const from_item& item, const scope& fields) {
  const std::string sql = to_sql(item) + " ";
  scope result;
  for (const field& one : fields) {
    const std::size_t at = sql.find(one.text);
    if (at == std::string::npos || std::isalnum(sql[at + one.text.size()]) != 0) continue;
    const auto same = [&](const field& other) { return other.text == one.text; };
    if (std::ranges::none_of(result, same)) result.push_back(one);
  }
  return result.empty() ? fields : result;
}

// The branches of a set operation may have different constants, by which one tells them apart.
void add_constant_to(query& to, value_type type, dice& choose) {
  for (query& branch : to.branches) add_constant_to(branch, type, choose);
  if (!to.set_operation.empty()) return;
  to.targets.push_back({.name = fmt::format("c{}", to.targets.size()),
                        .value = {.form = constant(type, choose), .type = type}});
}

}  // namespace

std::string view_under_trial::shape() const {
  const std::vector<std::string> all(features.begin(), features.end());
  return joined(all, " + ");
}

void query_generator::add_target(query& to, expr value) {
  to.targets.push_back({.name = fmt::format("c{}", to.targets.size()), .value = std::move(value)});
}

query query_generator::start_select(const relation& from) {
  query body;
  const from_item& item = from.item;
  const bool comma =
      item.join == "JOIN" && !item.on.empty() && !item.sides[1].lateral && choose_.percent(25);
  if (comma) {
    // The old way to write an inner join.
    body.from = item.sides;
    body.where = item.on;
  } else {
    body.from.push_back(item);
  }
  body.where.insert(body.where.end(), from.where.begin(), from.where.end());
  for (std::size_t i = choose_.weighted({40, 40, 20}); i > 0; --i) {
    body.where.push_back(condition(from.fields));
  }
  return body;
}

query_generator::shaped query_generator::finish(query body, double rows) {
  shaped result{std::move(body), {}, rows};
  for (const target& one : result.body.targets) {
    result.columns.push_back({.text = one.name, .type = one.value.type});
  }
  return result;
}

query_generator::shaped query_generator::plain_select(int depth) {
  const relation from = any_from(depth);
  query body = start_select(from);
  for (int i = choose_.between(1, most_targets); i > 0; --i) {
    if (choose_.percent(7)) {
      add_target(body, scalar_subquery(from.fields));
    } else if (choose_.percent(55)) {
      add_target(body, field_expr(choose_.of(from.fields)));
    } else {
      add_target(body, random_value_of(type_in(from.fields, choose_), from.fields, choose_));
    }
  }
  return finish(std::move(body), from.rows / 2);
}

void query_generator::choose_grouping(query& of) {
  of.group = grouping::plain;
  if (!choose_.percent(10)) return;
  of.group = choose_.one_of({grouping::rollup, grouping::cube, grouping::sets});
  note("grouping sets");
}

query_generator::shaped query_generator::grouped_select(int depth) {
  const relation from = any_from(depth);
  note("GROUP BY");
  query body = start_select(from);
  for (std::size_t i = choose_.weighted({60, 30, 10}) + 1; i > 0; --i) {
    expr key = key_of(from.fields, choose_);
    const std::string text = to_sql(key);
    const bool twice =
        std::ranges::any_of(body.keys, [&](const expr& other) { return to_sql(other) == text; });
    if (!twice) body.keys.push_back(std::move(key));
  }
  choose_grouping(body);
  for (const expr& key : body.keys) {
    if (!choose_.percent(8)) add_target(body, key);
  }
  for (int i = choose_.between(body.targets.empty() ? 1 : 0, 3); i > 0; --i) {
    expr value = random_aggregate(from.fields, choose_);
    if (value.type == value_type::bigint && choose_.percent(12)) {
      value = {.form = choose_.one_of({"($0 + 1)", "coalesce($0, 0)", "($0 * 2)"}),
               .type = value_type::bigint,
               .parts = {value}};
    }
    add_target(body, std::move(value));
  }
  if (choose_.percent(5)) add_target(body, of_outer_aggregate(body, from.fields, false));
  if (choose_.percent(4)) {
    body.having.push_back(of_outer_aggregate(body, from.fields, true));
  } else if (choose_.percent(18)) {
    note("HAVING");
    body.having.push_back({.form = choose_.one_of({"count(*) > 1", "count(*) > 2", "$0 > 2"}),
                           .parts = {{.form = "sum(1)", .type = value_type::bigint}}});
  }
  return finish(std::move(body), std::min(from.rows / 2, 12.0));
}

query_generator::shaped query_generator::global_aggregate(int depth) {
  const relation from = any_from(depth);
  note("aggregate without GROUP BY");
  query body = start_select(from);
  for (int i = choose_.between(1, 3); i > 0; --i) {
    add_target(body, random_aggregate(from.fields, choose_));
  }
  return finish(std::move(body), 1);
}

expr query_generator::window_value(const scope& in) {
  const std::string all = total_order(in, choose_);
  const bool whole = choose_.percent(8);
  note(whole ? "window without PARTITION BY" : "window");
  expr result{.type = value_type::bigint};
  result.parts.push_back(key_of(in, choose_));
  result.parts.push_back(random_value_of(value_type::integer, in, choose_, 1));
  std::string call;
  std::string order;
  switch (choose_.below(6)) {
    case 0:
      call = "row_number()", order = all;
      break;
    case 1:
      call = "rank()", order = "$1";
      break;
    case 2:
      call = "sum($1)";
      break;
    case 3:
      call = "sum($1)", order = "$1";
      break;
    case 4:
      call = "count(*)";
      break;
    default:
      call = choose_.one_of({"lag($1)", "lead($1)", "first_value($1)"}), order = all;
      result.type = value_type::integer;
  }
  result.form =
      fmt::format("{} OVER ({}{}{})", call, whole ? "" : "PARTITION BY $0",
                  whole || order.empty() ? "" : " ", order.empty() ? "" : "ORDER BY " + order);
  return result;
}

query_generator::shaped query_generator::window_select(int depth) {
  const relation from = any_from(depth);
  query body = start_select(from);
  for (int i = choose_.between(1, 2); i > 0; --i) {
    add_target(body, field_expr(choose_.of(from.fields)));
  }
  for (int i = choose_.between(1, 2); i > 0; --i) add_target(body, window_value(from.fields));
  return finish(std::move(body), from.rows / 2);
}

query_generator::shaped query_generator::distinct_select(int depth) {
  note("DISTINCT");
  shaped result = plain_select(depth);
  result.body.distinct = true;
  return result;
}

// A bare number would be the place of an output.
expr query_generator::order_value(const scope& in) {
  if (choose_.percent(40)) return scalar_subquery(in);
  return {.form = "coalesce($0, 0)",
          .type = value_type::integer,
          .parts = {random_value_of(value_type::integer, in, choose_, 1)}};
}

query_generator::shaped query_generator::distinct_on_select(int depth) {
  note("DISTINCT ON");
  const relation from = depth > 0 ? any_from(depth) : base_relation();
  query body = start_select(from);
  for (int i = choose_.between(2, most_targets); i > 0; --i) {
    add_target(body, field_expr(choose_.of(from.fields)));
  }
  body.distinct_on = 1;
  body.descending = choose_.percent(50);
  switch (choose_.weighted({55, 30, 15})) {
    case 1:
      body.order.push_back(window_value(from.fields));
      note("window in ORDER BY");
      break;
    case 2:
      body.order.push_back(order_value(from.fields));
      break;
    default:
      break;
  }
  return finish(std::move(body), 8);
}

// t1 LEFT JOIN t2 USING (a) FULL JOIN t3 USING (a): all of the items share the one column, so its
// bare name is the merged one.
query_generator::shaped query_generator::using_chain() {
  note("USING");
  const auto table_relation = [&] { return from_source(table_source(choose_.of(tables_.tables))); };
  relation chain = table_relation();
  for (std::size_t i = choose_.weighted({70, 30}) + 1; i > 0; --i) {
    relation right = table_relation();
    from_item item{.join = choose_.one_of({"JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"}),
                   .using_column = "a"};
    note(item.join == "JOIN" ? "inner join" : item.join.c_str());
    item.sides = {chain.item, right.item};
    chain.item = std::move(item);
    chain.fields.insert(chain.fields.end(), right.fields.begin(), right.fields.end());
    chain.rows *= 4;
  }
  for (field& one : chain.fields) one.not_null = false;
  if (choose_.percent(30)) {
    // No column of the inner one is called "a": that is the merged column.
    note("merged column in LATERAL");
    chain = pass_through(std::move(chain), {{.text = "a"}}, marked_relation());
  }
  query body;
  body.from.push_back(chain.item);
  if (choose_.percent(40)) body.where.push_back(random_condition(chain.fields, choose_, 1));
  const expr merged{.form = "a", .type = value_type::integer};
  add_target(body, merged);
  const bool grouped = choose_.percent(40);
  for (int i = choose_.between(1, 2); i > 0; --i) {
    add_target(body, grouped ? random_aggregate(chain.fields, choose_)
                             : field_expr(choose_.of(chain.fields)));
  }
  if (grouped) {
    note("GROUP BY");
    body.group = grouping::plain;
    body.keys = {merged};
  }
  return finish(std::move(body), grouped ? 8 : chain.rows);
}

std::vector<value_type> query_generator::signature() {
  using enum value_type;
  std::vector<value_type> types;
  for (int i = choose_.between(1, 3); i > 0; --i) {
    types.push_back(choose_.one_of({integer, integer, integer, text, numeric, date, bigint}));
  }
  return types;
}

// Whole numbers, each of its own type where they are mixed.
query_generator::shaped query_generator::typed_select(std::vector<value_type> types, bool mixed) {
  using enum value_type;
  for (value_type& one : types) {
    if (mixed && one == integer) one = choose_.one_of({integer, bigint, whole, whole});
  }
  const relation from = any_from(0);
  query body = start_select(from);
  for (const value_type type : types) {
    add_target(body, random_value_of(type, from.fields, choose_, choose_.percent(80) ? 0 : 1));
  }
  if (choose_.percent(12)) body.distinct = true;
  return finish(std::move(body), from.rows / 2);
}

query_generator::shaped query_generator::set_operation(int depth,
                                                       const std::vector<value_type>& types,
                                                       bool mixed) {
  query body;
  body.set_operation = choose_.one_of(
      {"UNION", "UNION ALL", "UNION ALL", "EXCEPT", "EXCEPT ALL", "INTERSECT", "INTERSECT ALL"});
  note(body.set_operation.c_str());
  if (mixed) note("branches of other types");
  double rows = 0;
  std::vector<value_type> common = types;
  for (int i = 0; i < 2; ++i) {
    const bool nested = depth > 0 && choose_.percent(25);
    shaped branch = nested ? set_operation(depth - 1, types, mixed) : typed_select(types, mixed);
    for (std::size_t c = 0; c < common.size(); ++c) {
      if (types[c] == value_type::integer) common[c] = wider(common[c], branch.columns.at(c).type);
    }
    if (nested) note("nested set operation");
    rows += branch.rows;
    body.branches.push_back(std::move(branch.body));
  }
  shaped result{std::move(body), {}, rows};
  for (std::size_t i = 0; i < types.size(); ++i) {
    // One branch's numeric may have another scale than the other's.
    const bool number = common[i] == value_type::numeric;
    result.columns.push_back(
        {.text = fmt::format("c{}", i), .type = number ? value_type::wide : common[i]});
  }
  return result;
}

query_generator::shaped query_generator::any_set_operation(int depth) {
  const std::vector<value_type> types = signature();
  return set_operation(depth, types, choose_.percent(30));
}

query_generator::shaped query_generator::any_select(int depth) {
  switch (choose_.weighted({28, 30, 6, 8, 6, 6, 7, 12})) {
    case 0:
      return plain_select(depth);
    case 1:
      return grouped_select(depth);
    case 2:
      return global_aggregate(depth);
    case 3:
      return window_select(depth);
    case 4:
      return distinct_select(depth);
    case 5:
      return distinct_on_select(depth);
    case 6:
      return using_chain();
    default:
      return any_set_operation(depth);
  }
}

query_generator::shaped query_generator::small_select() {
  const relation from = odd_from();
  note("one odd thing");
  const scope ties = ties_of(from.item, from.fields);
  query body;
  body.from.push_back(from.item);
  body.where = from.where;
  if (choose_.percent(30)) body.where.push_back(condition(from.fields));
  if (choose_.percent(35)) {
    note("GROUP BY");
    body.group = grouping::plain;
    body.keys.push_back(choose_.percent(75) ? field_expr(choose_.of(ties))
                                            : key_of(from.fields, choose_));
    if (choose_.percent(50)) {
      expr key = key_of(from.fields, choose_);
      if (to_sql(key) != to_sql(body.keys.front())) body.keys.push_back(std::move(key));
    }
    for (const expr& key : body.keys) add_target(body, key);
    for (int i = choose_.between(1, 2); i > 0; --i) {
      add_target(body, random_aggregate(from.fields, choose_));
    }
    if (choose_.percent(12)) add_target(body, of_outer_aggregate(body, from.fields, false));
    if (choose_.percent(12)) body.having.push_back(of_outer_aggregate(body, from.fields, true));
    return finish(std::move(body), 12);
  }
  for (std::size_t i = 0; i < ties.size() && i < 4; ++i) {
    if (choose_.percent(85)) add_target(body, field_expr(ties[i]));
  }
  for (int i = choose_.between(1, 2); i > 0; --i) {
    const field one = choose_.percent(60) ? from.fields.back() : choose_.of(from.fields);
    add_target(body, choose_.percent(70) ? field_expr(one)
                                         : random_value_of(one.type, from.fields, choose_, 1));
  }
  body.distinct = choose_.percent(15);
  return finish(std::move(body), from.rows);
}

void query_generator::limit(shaped& to) {
  if (to.body.limit >= 0 || to.body.distinct_on > 0) return;
  note("LIMIT");
  to.body.limit = choose_.between(1, 12);
  to.body.offset = choose_.percent(25) ? choose_.between(1, 3) : 0;
  to.body.descending = choose_.percent(50);
  to.rows = std::min(to.rows, 12.0);
}

void query_generator::add_constant(shaped& to) {
  using enum value_type;
  const value_type type = choose_.one_of({integer, integer, boolean, text});
  const std::string name = fmt::format("c{}", output_names(to.body).size());
  add_constant_to(to.body, type, choose_);
  to.columns.push_back({.text = name, .type = type, .not_null = true});
  note("constant output");
}

named_query query_generator::new_cte() {
  shaped body = any_select(0);
  if (choose_.percent(15)) add_constant(body);
  const std::string name = fmt::format("w{}", extra_.size());
  if (!body.columns.empty()) {
    extra_.push_back({.name = name, .columns = body.columns, .rows = body.rows});
  }
  return {.name = name, .body = std::move(body.body)};
}

void query_generator::add_underneath(view_under_trial& to) {
  definition one{.name = fmt::format("{}_under{}", to.name, to.underneath.size()),
                 .materialized = choose_.percent(45)};
  shaped body = any_select(0);
  if (choose_.percent(15)) add_constant(body);
  if (body.columns.empty()) return;
  note(one.materialized ? "on a view of its kind" : "on a plain view");
  extra_.push_back({.name = one.name, .columns = body.columns, .rows = body.rows});
  one.body = std::move(body.body);
  to.underneath.push_back(std::move(one));
}

void query_generator::note_expressions(const view_under_trial& in) {
  std::string text = to_sql(in.body);
  for (const definition& one : in.underneath) text += to_sql(one.body);
  for (const char* word :
       {"FILTER", "CASE", "avg(", "min(", "max(", "bool_and", "bool_or", "count(DISTINCT",
        "sum(DISTINCT", "string_agg", "array_agg", "row_number", "rank()"}) {
    if (text.find(word) != std::string::npos) note(word);
  }
}

view_under_trial query_generator::next(const std::string& name) {
  aliases_ = 0;
  extra_.clear();
  features_.clear();
  view_under_trial result{.name = name};
  if (choose_.percent(16)) add_underneath(result);
  std::vector<named_query> with;
  if (choose_.percent(12)) with.push_back(new_cte());
  shaped body = choose_.percent(20) ? small_select() : any_select(2);
  if (choose_.percent(8)) limit(body);
  body.body.with = std::move(with);
  result.body = std::move(body.body);
  note_expressions(result);
  result.features = std::move(features_);
  return result;
}

}  // namespace matview::trial
