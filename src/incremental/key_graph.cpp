#include "incremental/key_graph.hpp"

#include "incremental/derive.hpp"
#include "incremental/properties.hpp"

#include <algorithm>
#include <string_view>

namespace matview::incremental {

namespace {

// Operators of which each is NULL when one of its sides is. Not ||, by which an array is appended
// to.
bool strict_operator(const PgQuery__AExpr* expression) {
  static const std::set<std::string_view> known{
      "=", "<>", "<", ">", "<=", ">=", "+", "-", "*", "/", "%"};
  return expression->kind == PG_QUERY__A__EXPR__KIND__AEXPR_OP && expression->n_name == 1 &&
         known.contains(string_of(expression->name[0]));
}

// Whether the expression is NULL when a column in it is.
bool is_strict(const node* expression) {
  if (column_ref(expression) != nullptr) return true;
  if (expression->node_case == PG_QUERY__NODE__NODE_A_CONST) return true;
  if (expression->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) {
    return is_strict(expression->type_cast->arg);
  }
  const PgQuery__AExpr* both = operation(expression);
  return both != nullptr && strict_operator(both) && both->rexpr != nullptr &&
         (both->lexpr == nullptr || is_strict(both->lexpr)) && is_strict(both->rexpr);
}

bool has_limit(const select_statement* query) {
  return query->limit_count != nullptr || query->limit_offset != nullptr;
}

std::set<std::string> joined(std::set<std::string> left, const std::set<std::string>& right) {
  left.insert(right.begin(), right.end());
  return left;
}

}  // namespace

key_graph::key_graph(const query_context& in, const select_statement* query,
                     std::vector<int>& branches)
    : in_(in), branches_(branches) {
  output_ = add_query(query, {});
}

node* key_graph::followed(const node* expression) const {
  node* out = copy(in_.memory, expression);
  bool lost = false;
  replace(out, [&](node* at) -> node* {
    const PgQuery__ColumnRef* column = column_ref(at);
    if (column == nullptr) {
      lost = lost || sub_link(at) != nullptr;
      return at;
    }
    const std::string alias(string_of(column->fields[0]));
    if (in_.query.scan_of(alias) != nullptr) return at;
    const auto found = derived_.find(alias);
    if (found != derived_.end()) {
      for (const followed_column& one : found->second.columns) {
        if (one.name != string_of(column->fields[1]) || one.expression == nullptr) continue;
        if (found->second.nulled && !is_nulled_with(found->second, one.expression)) continue;
        return copy(in_.memory, one.expression);
      }
    }
    lost = true;
    return at;
  });
  return lost ? nullptr : out;
}

// Whether the expression is NULL in a row for which an outer join found nothing in the subquery: a
// constant is not, nor is a column of an outer table that LATERAL passed through.
bool key_graph::is_nulled_with(const derived_table& subquery, const node* expression) {
  const std::set<std::string> on = aliases_in(expression);
  return is_strict(expression) && std::any_of(on.begin(), on.end(), [&](const std::string& one) {
           return subquery.vertices.contains(one);
         });
}

std::vector<followed_column> key_graph::add_query(const select_statement* query,
                                                  vertex_set needed_by) {
  // An aggregate yields its row without any row below; of a set operation no branch is needed for
  // sure.
  const bool from_nothing =
      groups(in_, query) && (query->n_group_clause == 0 || has_grouping_sets(*derive(in_, query)));
  if (from_nothing) needed_by.clear();
  const std::size_t before = vertices_.size();
  std::vector<followed_column> out =
      is_set_operation(query) ? add_branch(query) : add_block(query, needed_by);
  if (has_limit(query)) limited_.merge(vertices_since(before));
  return out;
}

std::vector<followed_column> key_graph::add_branch(const select_statement* query) {
  if (next_branch_ == branches_.size()) branches_.push_back(0);
  const bool right = branches_[next_branch_++] == 1;
  // The names of the columns are those of the left branch.
  const select_statement* first = query;
  while (is_set_operation(first)) first = first->larg;
  std::vector<followed_column> out = add_query(right ? query->rarg : query->larg, {});
  for (std::size_t i = 0; i < out.size() && i < first->n_target_list; ++i) {
    out[i].name = res_target(first->target_list[i])->name;
    if (has_limit(query)) out[i].expression = nullptr;
  }
  return out;
}

std::set<std::string> key_graph::vertices_since(std::size_t before) const {
  return {vertices_.begin() + static_cast<long>(before), vertices_.end()};
}

std::vector<followed_column> key_graph::add_block(const select_statement* query,
                                                  const vertex_set& needed_by) {
  const std::size_t before = vertices_.size();
  for (std::size_t i = 0; i < query->n_from_clause; ++i) {
    add_from(query->from_clause[i], joined(needed_by, vertices_since(before)));
  }
  // Of a correlated subquery that may yield nothing a condition says nothing about outer tables.
  const vertex_set scope = joined(needed_by, vertices_since(before));
  for (const node* condition : conjuncts(query->where_clause)) {
    add_condition(condition, scope);
    add_sub_links(condition, scope);
  }
  const auto below = [this](std::size_t count, node** items) {
    for (std::size_t i = 0; i < count; ++i) add_sub_links(items[i], {});
  };
  below(query->n_target_list, query->target_list);
  below(query->n_group_clause, query->group_clause);
  below(query->n_sort_clause, query->sort_clause);
  if (query->having_clause != nullptr) add_sub_links(query->having_clause, {});
  std::vector<followed_column> out;
  const std::optional<std::vector<node*>> allowed = deciding_expressions(in_, *derive(in_, query));
  for (std::size_t i = 0; i < query->n_target_list; ++i) {
    const PgQuery__ResTarget* target = res_target(query->target_list[i]);
    const bool free =
        !allowed || std::any_of(allowed->begin(), allowed->end(),
                                [&](const node* one) { return same(one, target->val); });
    const bool can = free && !has_limit(query) && aggregates_in(in_, target->val).empty() &&
                     windows_in(target->val).empty();
    out.push_back({target->name, can ? followed(target->val) : nullptr});
  }
  return out;
}

void key_graph::add_from(const node* item, const vertex_set& needed_by) {
  if (const PgQuery__RangeVar* table = range_var(item)) {
    vertices_.emplace_back(table->alias->aliasname);
  } else if (const PgQuery__RangeSubselect* sub = range_subselect(item)) {
    const std::size_t before = vertices_.size();
    derived_table made{add_query(select_of(sub->subquery), needed_by), {}, false};
    made.vertices = vertices_since(before);
    derived_[sub->alias->aliasname] = std::move(made);
    subqueries_.emplace_back(sub->alias->aliasname);
  } else if (const PgQuery__JoinExpr* join = join_expr(item)) {
    add_join(join, needed_by);
  }
}

void key_graph::add_join(const PgQuery__JoinExpr* join, const vertex_set& needed_by) {
  const auto type = join->jointype;
  const bool left_needed =
      type == PG_QUERY__JOIN_TYPE__JOIN_INNER || type == PG_QUERY__JOIN_TYPE__JOIN_LEFT;
  const bool right_needed =
      type == PG_QUERY__JOIN_TYPE__JOIN_INNER || type == PG_QUERY__JOIN_TYPE__JOIN_RIGHT;
  const std::size_t before = vertices_.size();
  const std::size_t first_subquery = subqueries_.size();
  add_from(join->larg, left_needed ? needed_by : vertex_set());
  const std::size_t middle = vertices_.size();
  const std::size_t middle_subquery = subqueries_.size();
  const vertex_set outside = type == PG_QUERY__JOIN_TYPE__JOIN_INNER
                                 ? joined(needed_by, vertices_since(before))
                                 : needed_by;
  add_from(join->rarg, right_needed ? outside : vertex_set());
  const auto at = [this](std::size_t index) {
    return vertices_.begin() + static_cast<long>(index);
  };
  const std::set<std::string> left(at(before), at(middle));
  const std::set<std::string> right(at(middle), vertices_.end());
  // ON of an outer join says nothing about the rows of the preserved side alone.
  vertex_set scope = left;
  if (type == PG_QUERY__JOIN_TYPE__JOIN_LEFT) scope.clear();
  if (type != PG_QUERY__JOIN_TYPE__JOIN_RIGHT) scope.insert(right.begin(), right.end());
  if (type == PG_QUERY__JOIN_TYPE__JOIN_INNER) scope = joined(std::move(scope), needed_by);
  for (const node* condition : conjuncts(join->quals)) {
    const bool one_side_of_full =
        type == PG_QUERY__JOIN_TYPE__JOIN_FULL && !touches_both(condition, left, right);
    if (!one_side_of_full) add_condition(condition, scope);
    // Where it is not true the row is there all the same.
    add_sub_links(condition, type == PG_QUERY__JOIN_TYPE__JOIN_INNER ? scope : vertex_set());
  }
  if (type == PG_QUERY__JOIN_TYPE__JOIN_FULL) note_merged(join, left, right);
  if (type == PG_QUERY__JOIN_TYPE__JOIN_LEFT || type == PG_QUERY__JOIN_TYPE__JOIN_FULL) {
    nulled_.insert(right.begin(), right.end());
    note_nulled(middle_subquery, subqueries_.size());
  }
  if (type == PG_QUERY__JOIN_TYPE__JOIN_RIGHT || type == PG_QUERY__JOIN_TYPE__JOIN_FULL) {
    nulled_.insert(left.begin(), left.end());
    note_nulled(first_subquery, middle_subquery);
  }
}

void key_graph::note_nulled(std::size_t from, std::size_t to) {
  for (std::size_t i = from; i < to; ++i) derived_[subqueries_[i]].nulled = true;
}

bool key_graph::touches_both(const node* condition, const std::set<std::string>& left,
                             const std::set<std::string>& right) const {
  const node* expression = followed(condition);
  if (expression == nullptr) return false;
  const std::set<std::string> on = aliases_in(expression);
  const auto any_in = [&on](const std::set<std::string>& side) {
    return std::any_of(on.begin(), on.end(),
                       [&](const std::string& one) { return side.contains(one); });
  };
  return any_in(left) && any_in(right);
}

void key_graph::note_merged(const PgQuery__JoinExpr* join, const std::set<std::string>& left,
                            const std::set<std::string>& right) {
  const auto owned_by = [this](const node* expression, const std::set<std::string>& side) {
    const std::set<std::string> aliases = aliases_in(expression);
    return aliases.size() == 1 && side.contains(*aliases.begin()) &&
           !nulled_.contains(*aliases.begin());
  };
  for (const node* condition : conjuncts(join->quals)) {
    if (!is_equality(condition)) continue;
    node* a = followed(operation(condition)->lexpr);
    node* b = followed(operation(condition)->rexpr);
    if (a == nullptr || b == nullptr) continue;
    node* own_a = operation(condition)->lexpr;
    node* own_b = operation(condition)->rexpr;
    if (owned_by(b, left) && owned_by(a, right)) {
      std::swap(a, b);
      std::swap(own_a, own_b);
    }
    if (!owned_by(a, left) || !owned_by(b, right)) continue;
    // USING of two types: which of them the column has, and how it is spelled, depends on the row.
    const bool columns = table_column(in_, a) != nullptr && table_column(in_, b) != nullptr;
    if (columns && !have_one_equality(in_, a, b)) continue;
    const auto coalesce = [this](const node* one, const node* other) {
      return parse_expression(in_.memory, "COALESCE(" + print(one) + ", " + print(other) + ")");
    };
    merged_.push_back({coalesce(own_a, own_b), coalesce(a, b), a, b, left, right});
  }
}

// A condition holds between its vertices where one of `scope` has a part.
void key_graph::keep(node* expression, const std::set<std::string>& scope, bool equality) {
  std::set<std::string> on = aliases_in(expression);
  const auto any_in = [&on](const std::set<std::string>& those) {
    return std::any_of(on.begin(), on.end(),
                       [&](const std::string& one) { return those.contains(one); });
  };
  if (!any_in(scope) || (any_in(nulled_) && !is_strict(expression))) return;
  // HAVING of an outer query may stand in a subquery of it.
  if (!aggregates_in(in_, expression).empty()) return;
  conditions_.push_back({expression, std::move(on), scope, equality});
}

void key_graph::add_condition(const node* condition, const std::set<std::string>& scope) {
  node* expression = followed(condition);
  if (expression != nullptr) keep(expression, scope, is_equality(condition));
}

bool key_graph::cannot_be_null(const node* expression) const {
  const PgQuery__ColumnRef* column = column_ref(expression);
  const store::column_facts* facts = table_column(in_, expression);
  return facts != nullptr && facts->not_null &&
         !nulled_.contains(std::string(string_of(column->fields[0])));
}

// `x IN (SELECT y ...)` ties x to y where it must be true; elsewhere it may also be NULL, because
// of a NULL that is not tied to anything.
void key_graph::add_in(const PgQuery__SubLink* sub, const std::vector<followed_column>& columns,
                       const std::set<std::string>& scope, bool must_hold) {
  if (sub->sub_link_type != PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK || sub->testexpr == nullptr)
    return;
  if (sub->n_oper_name > 0 && string_of(sub->oper_name[sub->n_oper_name - 1]) != "=") return;
  std::vector<node*> tested{sub->testexpr};
  if (sub->testexpr->node_case == PG_QUERY__NODE__NODE_ROW_EXPR) {
    tested.assign(sub->testexpr->row_expr->args,
                  sub->testexpr->row_expr->args + sub->testexpr->row_expr->n_args);
  }
  for (std::size_t i = 0; i < tested.size() && i < columns.size(); ++i) {
    node* left = followed(tested[i]);
    node* right = columns[i].expression;
    if (left == nullptr || right == nullptr) continue;
    if (!must_hold && (tested.size() > 1 || !cannot_be_null(left) || !cannot_be_null(right))) {
      behind_null_.insert(scope.begin(), scope.end());
      continue;
    }
    keep(make_equal(in_.memory, left, right), scope, true);
  }
}

void key_graph::add_sub_links(const node* expression, const vertex_set& must_hold) {
  const PgQuery__SubLink* whole = sub_link(expression);
  walk(expression, [&](ProtobufCMessage* message) {
    const auto* sub = as<PgQuery__SubLink>(message, pg_query__sub_link__descriptor);
    if (sub == nullptr) return message->descriptor != &pg_query__select_stmt__descriptor;
    if (sub->testexpr != nullptr) add_sub_links(sub->testexpr, {});
    const std::size_t before = vertices_.size();
    const bool true_by_a_row = sub->sub_link_type == PG_QUERY__SUB_LINK_TYPE__EXISTS_SUBLINK ||
                               sub->sub_link_type == PG_QUERY__SUB_LINK_TYPE__ANY_SUBLINK;
    const vertex_set needed_by = sub == whole && true_by_a_row ? must_hold : vertex_set();
    const std::vector<followed_column> columns = add_query(select_of(sub->subselect), needed_by);
    const vertex_set own = vertices_since(before);
    for (const std::string& vertex : own) sub_links_.emplace(vertex, sub);
    add_in(sub, columns, joined(needed_by, own), !needed_by.empty());
    return false;
  });
}

std::map<std::string, std::string> key_graph::towards(const std::string& root,
                                                      const std::set<std::string>& within) const {
  std::map<std::string, std::string> next;
  std::map<std::string, int> distance{{root, 0}};
  // An inequality ties a row to a great many: only where there is nothing better.
  constexpr int loose = 1'000;
  for (bool found = true; found;) {
    found = false;
    for (const graph_condition& one : conditions_) {
      if (one.on.size() != 2) continue;
      const std::string& a = *one.on.begin();
      const std::string& b = *one.on.rbegin();
      if (!within.empty() && (!within.contains(a) || !within.contains(b))) continue;
      for (const auto& [from, to] : {std::pair(a, b), std::pair(b, a)}) {
        if (!one.scope.contains(to)) continue;
        const auto known = distance.find(from);
        if (known == distance.end()) continue;
        const int length = known->second + (one.equality ? 1 : loose);
        const auto before = distance.find(to);
        if (before != distance.end() && before->second <= length) continue;
        distance[to] = length;
        next[to] = from;
        found = true;
      }
    }
  }
  return next;
}

}  // namespace matview::incremental
