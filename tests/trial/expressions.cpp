#include "trial/expressions.hpp"

#include <fmt/format.h>

namespace matview::trial {

namespace {

expr constant_expr(value_type type, dice& choose) {
  return {.form = constant(type, choose), .type = type};
}

// A field where there is one: constants alone make dull views.
expr simple(value_type type, const scope& in, dice& choose) {
  if (const auto found = find_field(in, type, choose); found && !choose.percent(5)) {
    return field_expr(*found);
  }
  return constant_expr(type, choose);
}

struct shape {
  const char* form;
  std::vector<value_type> parts;
};

const std::vector<shape>& shapes_of(value_type type) {
  using enum value_type;
  static const std::vector<shape> of_integer{
      {"($0 + $1)", {integer, integer}},
      {"($0 - $1)", {integer, integer}},
      {"($0 * 2)", {integer}},
      {"($0 % 3)", {integer}},
      {"($0 / 2)", {integer}},
      {"(- $0)", {integer}},
      {"abs($0)", {integer}},
      {"coalesce($0, 0)", {integer}},
      {"coalesce($0, $1)", {integer, integer}},
      {"nullif($0, 3)", {integer}},
      {"greatest($0, $1)", {integer, integer}},
      {"length($0)", {text}},
      {"($0 - DATE '2024-01-01')", {date}},
      {"($0)::int", {boolean}},
      {"CASE WHEN $0 THEN $1 ELSE $2 END", {boolean, integer, integer}},
      {"CASE WHEN $0 THEN $1 END", {boolean, integer}},
      {"CASE $0 WHEN 1 THEN 10 WHEN 2 THEN 20 END", {integer}}};
  static const std::vector<shape> of_bigint{
      {"($0)::bigint", {integer}},   {"($0 + 1)", {bigint}},
      {"($0 / 2)", {bigint}},        {"($0 - $1)", {bigint, integer}},
      {"coalesce($0, 0)", {bigint}}, {"CASE WHEN $0 THEN $1 ELSE 0 END", {boolean, bigint}}};
  static const std::vector<shape> of_numeric{
      {"($0 + $1)", {numeric, numeric}},
      {"($0 * $1)", {numeric, integer}},
      {"(- $0)", {numeric}},
      {"abs($0)", {numeric}},
      {"coalesce($0, 0.00)", {numeric}},
      {"CASE WHEN $0 THEN $1 END", {boolean, numeric}},
      {"CASE WHEN $0 THEN $1 ELSE 0.00 END", {boolean, numeric}}};
  static const std::vector<shape> of_whole{
      {"($0 + $1)", {whole, integer}}, {"($0 * 2)", {whole}},
      {"($0 % 3)", {whole}},           {"($0)::numeric", {integer}},
      {"coalesce($0, 0)", {whole}},    {"CASE WHEN $0 THEN $1 END", {boolean, whole}}};
  static const std::vector<shape> of_wide{{"($0 / 2)", {whole}}, {"coalesce($0, 0)", {wide}}};
  static const std::vector<shape> of_text{
      {"($0 || 'z')", {text}},
      {"($0 || $1)", {text, text}},
      {"upper($0)", {text}},
      {"coalesce($0, 'none')", {text}},
      {"nullif($0, 'p')", {text}},
      {"($0)::text", {integer}},
      {"($0)::text", {boolean}},
      {"left($0, 1)", {text}},
      {"CASE WHEN $0 THEN 'yes'::text ELSE $1 END", {boolean, text}}};
  static const std::vector<shape> of_date{{"($0 + 1)", {date}},
                                          {"($0 + $1)", {date, integer}},
                                          {"coalesce($0, DATE '2024-01-02')", {date}},
                                          {"greatest($0, $1)", {date, date}}};
  static const std::vector<shape> none;
  switch (type) {
    case integer:
      return of_integer;
    case bigint:
      return of_bigint;
    case numeric:
      return of_numeric;
    case whole:
      return of_whole;
    case wide:
      return of_wide;
    case text:
      return of_text;
    case date:
      return of_date;
    default:
      return none;
  }
}

expr filled(const shape& of, value_type type, const scope& in, dice& choose, int depth) {
  expr result{.form = of.form, .type = type};
  for (const value_type part : of.parts) {
    result.parts.push_back(part == value_type::boolean ? random_condition(in, choose, depth)
                                                       : random_value_of(part, in, choose, depth));
  }
  return result;
}

expr comparison(const scope& in, dice& choose, int depth) {
  const value_type type = type_in(in, choose);
  const std::string sign = choose.one_of({"=", "=", "<>", "<", ">", "<=", ">="});
  expr result{.form = "($0 " + sign + " $1)"};
  result.parts.push_back(random_value_of(type, in, choose, depth));
  result.parts.push_back(choose.percent(65) ? constant_expr(type, choose)
                                            : random_value_of(type, in, choose, depth));
  return result;
}

expr on_a_field(const scope& in, dice& choose) {
  const field one = choose.of(in);
  if (one.type == value_type::boolean && choose.percent(60)) return field_expr(one);
  expr result{.parts = {field_expr(one)}};
  switch (choose.below(5)) {
    case 0:
      result.form = "($0 IS NULL)";
      break;
    case 1:
      result.form = "($0 IS NOT NULL)";
      break;
    case 2:
      result.form =
          fmt::format("($0 IN ({}, {}))", constant(one.type, choose), constant(one.type, choose));
      break;
    case 3:
      result.form = "($0 IS DISTINCT FROM " + constant(one.type, choose) + ")";
      break;
    default:
      result.form = one.type == value_type::text
                        ? "($0 LIKE 'p%')"
                        : fmt::format("($0 >= {})", constant(one.type, choose));
  }
  return result;
}

expr sum_or_avg(const scope& in, dice& choose) {
  using enum value_type;
  const value_type type = choose.one_of({integer, integer, bigint, numeric, numeric, wide, whole});
  expr of = random_value_of(type, in, choose, 1);
  if (type != bigint && type != wide && choose.percent(40)) {
    return {.form = "avg($0)", .type = wide, .parts = {std::move(of)}};
  }
  const value_type result = type == integer ? bigint : type == bigint ? numeric : type;
  return {.form = choose.percent(8) ? "sum(DISTINCT $0)" : "sum($0)",
          .type = result,
          .parts = {std::move(of)}};
}

expr least_or_greatest(const scope& in, dice& choose) {
  using enum value_type;
  const value_type type = choose.one_of({integer, integer, numeric, text, date, bigint});
  return {.form = choose.one_of({"min($0)", "max($0)"}),
          .type = type,
          .parts = {random_value_of(type, in, choose, 1)}};
}

// The order decides the result: it ends with the value itself, so that those that tie are equal.
expr ordered_list(const scope& in, dice& choose) {
  if (choose.percent(50)) {
    return {.form = "string_agg($0, ',' ORDER BY $1, $0)",
            .type = value_type::text,
            .parts = {random_value_of(value_type::text, in, choose, 1), field_expr(choose.of(in))}};
  }
  return {.form = choose.one_of({"array_agg($0 ORDER BY $0)", "array_agg($0 ORDER BY $0 DESC)",
                                 "array_agg(DISTINCT $0 ORDER BY $0)"}),
          .type = value_type::array,
          .parts = {random_value_of(value_type::integer, in, choose, 1)}};
}

expr plain_aggregate(const scope& in, dice& choose) {
  using enum value_type;
  switch (choose.weighted({15, 12, 26, 18, 9, 10, 10})) {
    case 0:
      return {.form = "count(*)", .type = bigint};
    case 1:
      return {.form = "count($0)", .type = bigint, .parts = {field_expr(choose.of(in))}};
    case 2:
      return sum_or_avg(in, choose);
    case 3:
      return least_or_greatest(in, choose);
    case 4:
      return {.form = choose.one_of({"bool_and($0)", "bool_or($0)"}),
              .type = boolean,
              .parts = {random_condition(in, choose, 1)}};
    case 5:
      return {.form = "count(DISTINCT $0)", .type = bigint, .parts = {field_expr(choose.of(in))}};
    default:
      return ordered_list(in, choose);
  }
}

}  // namespace

expr field_expr(const field& of) {
  return {.form = of.text, .type = of.type};
}

std::optional<field> find_field(const scope& in, value_type type, dice& choose) {
  scope fitting;
  for (const field& one : in) {
    if (one.type == type) fitting.push_back(one);
  }
  if (fitting.empty()) return std::nullopt;
  return choose.of(fitting);
}

std::string total_order(const scope& in, dice& choose) {
  std::vector<std::string> parts;
  for (const field& one : in) parts.push_back(one.text);
  std::swap(parts.front(), parts.at(choose.below(parts.size())));
  if (choose.percent(50)) parts.front() += choose.one_of({" DESC", " DESC NULLS LAST"});
  return joined(parts, ", ");
}

expr random_value_of(value_type type, const scope& in, dice& choose, int depth) {
  if (type == value_type::boolean) return random_condition(in, choose, depth);
  const std::vector<shape>& shapes = shapes_of(type);
  if (depth == 0 || shapes.empty() || choose.percent(60)) return simple(type, in, choose);
  return filled(choose.of(shapes), type, in, choose, depth - 1);
}

expr random_condition(const scope& in, dice& choose, int depth) {
  if (depth > 0 && choose.percent(15)) {
    const char* form = choose.one_of({"($0 OR $1)", "($0 AND $1)"});
    expr left = random_condition(in, choose, depth - 1);
    expr right = random_condition(in, choose, depth - 1);
    return {.form = form, .parts = {std::move(left), std::move(right)}};
  }
  if (depth > 0 && choose.percent(8)) {
    return {.form = "(NOT $0)", .parts = {random_condition(in, choose, depth - 1)}};
  }
  if (choose.percent(8)) {
    if (auto tie = loose_tie(choose.of(in), in, choose)) return *tie;
  }
  return choose.percent(55) ? comparison(in, choose, depth > 1 ? 1 : 0) : on_a_field(in, choose);
}

expr random_aggregate(const scope& in, dice& choose) {
  expr result = plain_aggregate(in, choose);
  if (choose.percent(20)) {
    result = {.form = result.form + " FILTER (WHERE $9)",
              .type = result.type,
              .parts = std::move(result.parts)};
    const auto hole = std::to_string(result.parts.size());
    result.form.replace(result.form.find("$9"), 2, "$" + hole);
    result.parts.push_back(random_condition(in, choose, 1));
  }
  return result;
}

std::optional<expr> loose_tie(const field& one, const scope& others, dice& choose) {
  scope fitting;
  for (const field& other : others) {
    if (other.type == one.type && other.text != one.text) fitting.push_back(other);
  }
  if (fitting.empty()) return std::nullopt;
  const char* form = choose.one_of({"(coalesce($0, $2) = $1)", "(coalesce($0, $2) = $1)",
                                    "($0 IS NULL OR $0 = $1)", "($0 IS DISTINCT FROM $1)",
                                    "($0 IS NOT DISTINCT FROM $1)", "(coalesce($0, $1) = $1)",
                                    "(($0 = $1) IS NOT FALSE)"});
  return expr{
      .form = form,
      .parts = {field_expr(one), field_expr(choose.of(fitting)), constant_expr(one.type, choose)}};
}

value_type type_in(const scope& in, dice& choose) {
  return choose.of(in).type;
}

}  // namespace matview::trial
