#include "incremental/properties.hpp"

#include "incremental/grouping.hpp"
#include "incremental/projection.hpp"
#include "incremental/refusal.hpp"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

namespace matview::incremental {

namespace {

// As one writes it, if the expression has one.
std::optional<std::string> sub_link_in(const node* expression) {
  std::optional<std::string> out;
  walk(expression, [&](ProtobufCMessage* message) {
    const auto* sub = as<PgQuery__SubLink>(message, pg_query__sub_link__descriptor);
    if (sub == nullptr) return !out.has_value();
    switch (sub->sub_link_type) {
      case PG_QUERY__SUB_LINK_TYPE__EXISTS_SUBLINK:
        out = "EXISTS";
        break;
      case PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK:
        out = sub->n_oper_name == 0 || string_of(sub->oper_name[sub->n_oper_name - 1]) == "="
                  ? "IN (SELECT ...)"
                  : "ANY (SELECT ...)";
        break;
      case PG_QUERY__SUB_LINK_TYPE__ALL_SUBLINK:
        out = "ALL (SELECT ...)";
        break;
      default:
        out = "a subquery in an expression";
    }
    return false;
  });
  return out;
}

std::optional<std::string> subquery_beside(const relation* of) {
  if (of == nullptr) return std::nullopt;
  for (const expression& one : of->expressions) {
    if (!one.subqueries.empty()) return sub_link_in(one.tree);
  }
  return std::nullopt;
}

std::optional<std::string> nonlinear_from(const relation& item) {
  switch (item.kind) {
    case relation_kind::left_join:
    case relation_kind::right_join:
    case relation_kind::full_join:
      return std::string(keyword_of(item));
    case relation_kind::inner_join:
      if (auto left = nonlinear_from(*item.input)) return left;
      if (auto right = nonlinear_from(*item.right)) return right;
      return subquery_beside(&item);
    case relation_kind::rename: {
      constexpr std::string_view inside = " in a subquery";
      std::optional<std::string> out = nonlinear_part(*item.input);
      if (out && !out->ends_with(inside)) *out += inside;
      return out;
    }
    default:
      return subquery_beside(&item);
  }
}

void add_scans(const relation& of, std::vector<std::string>& to) {
  const auto beside = [&] {
    for (const expression& one : of.expressions) {
      for (const dependent_join& sub : one.subqueries) add_scans(*sub.query, to);
    }
  };
  const bool before_from =
      of.kind == relation_kind::project || of.kind == relation_kind::distinct_on;
  if (of.kind == relation_kind::scan) to.emplace_back(of.alias);
  if (before_from) beside();
  if (of.input != nullptr) add_scans(*of.input, to);
  if (of.right != nullptr) add_scans(*of.right, to);
  if (!before_from) beside();
}

}  // namespace

std::optional<std::string> nonlinear_core(const relation& query) {
  const select_parts parts = parts_of(query);
  for (const relation* one :
       {parts.where, parts.project, parts.aggregate, parts.window, parts.sort}) {
    if (auto out = subquery_beside(one)) return out;
  }
  return nonlinear_from(*parts.from);
}

std::optional<std::string> nonlinear_part(const relation& query) {
  const select_parts parts = parts_of(query);
  if (parts.limit != nullptr) return "LIMIT";
  if (is_set_operation(*parts.from)) {
    const bool linear = parts.from->kind == relation_kind::set_union && parts.from->all;
    if (!linear) return std::string(keyword_of(*parts.from));
    auto left = nonlinear_part(*parts.from->input);
    return left ? left : nonlinear_part(*parts.from->right);
  }
  if (parts.distinct != nullptr) {
    return parts.distinct->kind == relation_kind::distinct ? "DISTINCT" : "DISTINCT ON";
  }
  if (parts.aggregate != nullptr) {
    return parts.aggregate->expressions.empty() ? "an aggregate" : "GROUP BY";
  }
  if (has_windows(query)) return "a window function";
  return nonlinear_core(query);
}

bool groups(const relation& query) {
  return parts_of(query).aggregate != nullptr;
}

bool has_windows(const relation& query) {
  const select_parts parts = parts_of(query);
  return (parts.window != nullptr && !parts.window->partitions.empty()) ||
         (parts.sort != nullptr && !parts.sort->partitions.empty());
}

std::vector<std::string> scans_in(const relation& query) {
  std::vector<std::string> out;
  add_scans(query, out);
  return out;
}

namespace {

std::vector<node*> both_have(const std::vector<node*>& left, const std::vector<node*>& right) {
  std::vector<node*> out;
  for (node* one : left) {
    if (std::ranges::any_of(right, [&](const node* o) { return same(o, one); })) {
      out.push_back(one);
    }
  }
  return out;
}

// What must be the same in rows of which DISTINCT leaves one.
std::vector<node*> compared_by(const relation& distinct) {
  if (distinct.kind == relation_kind::distinct) return shown_by(*distinct.input);
  std::vector<node*> out;
  for (const expression& one : distinct.expressions) out.push_back(one.tree);
  return out;
}

}  // namespace

std::optional<std::vector<node*>> deciding_expressions(const query_context& in,
                                                       const relation& query) {
  std::optional<std::vector<node*>> out;
  const auto restrict_to = [&](std::vector<node*> allowed) {
    out = out ? both_have(*out, allowed) : std::move(allowed);
  };
  const select_parts parts = parts_of(query);
  if (parts.aggregate != nullptr) {
    restrict_to(has_grouping_sets(query) ? std::vector<node*>() : group_expressions(in, query));
  }
  // DISTINCT ON chooses by what ORDER BY computes.
  for (const relation* one : {parts.window, parts.sort}) {
    if (one == nullptr) continue;
    for (const std::span<node* const> partition : one->partitions) {
      if (partition.empty()) {
        throw not_incremental(construct::window_without_partition, "a window function");
      }
      restrict_to({partition.begin(), partition.end()});
    }
  }
  if (parts.distinct != nullptr) restrict_to(compared_by(*parts.distinct));
  return out;
}

namespace {

// What an alias stands for in FROM.
struct named_item {
  const relation* item = nullptr;
  bool nulled = false;  // An outer join makes it NULL where it finds nothing.
};

named_item named(const relation& from, std::string_view alias) {
  if (!is_join(from)) return {from.alias == alias ? &from : nullptr};
  named_item out = named(*from.input, alias);
  if (out.item != nullptr) {
    out.nulled = out.nulled || preserves_right(from);
    return out;
  }
  out = named(*from.right, alias);
  out.nulled = out.nulled || preserves_left(from);
  return out;
}

// What a subquery yields under this name.
const node* value_of(const relation& query, std::string_view column) {
  const relation* project = parts_of(query).project;
  if (project == nullptr) return nullptr;
  for (const incremental::expression& one : project->expressions) {
    const PgQuery__ResTarget* target = res_target(one.tree);
    if (column == target->name) return target->val;
  }
  return nullptr;
}

}  // namespace

bool never_null(const query_context& in, const relation& query, const node* expression) {
  const PgQuery__ColumnRef* column = column_ref(expression);
  if (column == nullptr) return false;
  const named_item source = named(*parts_of(query).from, string_of(column->fields[0]));
  if (source.item == nullptr || source.nulled) return false;
  if (source.item->kind == relation_kind::rename) {
    const relation& inner = *source.item->input;
    const node* value = value_of(inner, string_of(column->fields[1]));
    return value != nullptr && !has_grouping_sets(inner) && never_null(in, inner, value);
  }
  const store::column_facts* facts = table_column(in, expression);
  return facts != nullptr && facts->not_null;
}

namespace {

// `1.50`; nothing for 1e3.
std::optional<int> scale_of_text(std::string_view number) {
  if (number.find_first_not_of("+-.0123456789") != std::string_view::npos) return std::nullopt;
  const std::size_t point = number.find('.');
  return point == std::string_view::npos ? 0 : static_cast<int>(number.size() - point - 1);
}

// `integer`, `numeric(10,2)`.
std::optional<int> scale_of_type(std::string_view type) {
  if (type == "integer" || type == "bigint" || type == "smallint") return 0;
  if (!type.starts_with("numeric(")) return std::nullopt;
  return std::stoi(std::string(type.substr(type.find(',') + 1)));
}

// Below casts that say nothing of digits.
const PgQuery__AConst* constant_in(const node* expression) {
  while (expression->node_case == PG_QUERY__NODE__NODE_TYPE_CAST &&
         expression->type_cast->type_name->n_typmods == 0) {
    expression = expression->type_cast->arg;
  }
  return expression->node_case == PG_QUERY__NODE__NODE_A_CONST ? expression->a_const : nullptr;
}

// See scale_of().
struct scale_rules {
  const query_context& in;
  const relation& query;
  bool zero_fits;

  std::optional<int> of(const node* number) const {
    switch (number->node_case) {
      case PG_QUERY__NODE__NODE_COLUMN_REF:
        return of_column(number);
      case PG_QUERY__NODE__NODE_A_CONST:
        return of_constant(number->a_const);
      case PG_QUERY__NODE__NODE_A_EXPR:
        return of_operation(number);
      case PG_QUERY__NODE__NODE_TYPE_CAST:
        return of_cast(number->type_cast);
      case PG_QUERY__NODE__NODE_COALESCE_EXPR: {
        const PgQuery__CoalesceExpr* items = number->coalesce_expr;
        return of_one_of({items->args, items->args + items->n_args});
      }
      case PG_QUERY__NODE__NODE_CASE_EXPR:
        return of_case(number->case_expr);
      default:
        return std::nullopt;
    }
  }

  std::optional<int> of_column(const node* number) const {
    const PgQuery__ColumnRef* column = column_ref(number);
    const named_item source = named(*parts_of(query).from, string_of(column->fields[0]));
    if (source.item == nullptr) return std::nullopt;
    if (source.item->kind == relation_kind::rename) {
      const relation& inner = *source.item->input;
      const node* value = value_of(inner, string_of(column->fields[1]));
      return value == nullptr ? std::nullopt : scale_of(in, inner, value, zero_fits);
    }
    const store::column_facts* facts = table_column(in, number);
    return facts == nullptr ? std::nullopt : scale_of_type(facts->type);
  }

  static std::optional<int> of_constant(const PgQuery__AConst* constant) {
    switch (constant->val_case) {
      case PG_QUERY__A__CONST__VAL_IVAL:
        return 0;
      case PG_QUERY__A__CONST__VAL_FVAL:
        return scale_of_text(constant->fval->fval);
      case PG_QUERY__A__CONST__VAL_SVAL:
        return scale_of_text(constant->sval->sval);
      default:
        return std::nullopt;
    }
  }

  std::optional<int> of_operation(const node* number) const {
    const PgQuery__AExpr* both = operation(number);
    const std::string_view name = operator_of(number);
    const bool adds = name == "+" || name == "-";
    if (!adds && name != "*") return std::nullopt;
    const std::optional<int> right = of(both->rexpr);
    const std::optional<int> left = both->lexpr == nullptr ? right : of(both->lexpr);
    if (!left || !right) return std::nullopt;
    return adds ? std::max(*left, *right) : *left + *right;
  }

  std::optional<int> of_cast(const PgQuery__TypeCast* cast) const {
    const PgQuery__TypeName* type = cast->type_name;
    if (type->n_names == 0) return std::nullopt;
    const std::string_view name = string_of(type->names[type->n_names - 1]);
    if (name == "int2" || name == "int4" || name == "int8") return 0;
    if (name != "numeric") return std::nullopt;
    if (type->n_typmods == 0) return of(cast->arg);
    return type->n_typmods == 1 ? 0 : type->typmods[1]->a_const->ival->ival;
  }

  std::optional<int> of_case(const PgQuery__CaseExpr* cases) const {
    std::vector<const node*> results;
    for (std::size_t i = 0; i < cases->n_args; ++i) {
      results.push_back(cases->args[i]->case_when->result);
    }
    if (cases->defresult != nullptr) results.push_back(cases->defresult);
    return of_one_of(results);
  }

  std::optional<int> of_one_of(const std::vector<const node*>& items) const {
    std::optional<int> out;
    for (const node* one : items) {
      if (counts_for_nothing(one)) continue;
      const std::optional<int> own = of(one);
      if (!own || (out && out != own)) return std::nullopt;
      out = own;
    }
    return out.value_or(0);
  }

  // NULL, which no sum adds, and 0 if it fits everywhere.
  bool counts_for_nothing(const node* one) const {
    const PgQuery__AConst* constant = constant_in(one);
    if (constant == nullptr) return false;
    return constant->isnull != 0 ||
           (zero_fits && constant->val_case == PG_QUERY__A__CONST__VAL_IVAL &&
            constant->ival->ival == 0);
  }
};

}  // namespace

std::optional<int> scale_of(const query_context& in, const relation& query, const node* number,
                            bool zero_fits) {
  return scale_rules{in, query, zero_fits}.of(number);
}

bool is_correlated(const dependent_join& of) {
  return !std::ranges::includes(aliases_made_in(of.written->subselect),
                                aliases_in(of.written->subselect));
}

}  // namespace matview::incremental
