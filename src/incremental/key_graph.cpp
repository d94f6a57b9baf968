#include "incremental/key_graph.hpp"

#include "incremental/grouping.hpp"
#include "incremental/projection.hpp"
#include "incremental/properties.hpp"

#include <algorithm>
#include <string_view>

namespace matview::incremental {

namespace {

// Operators of which each is NULL when one of its sides is. Not ||, by which an array is appended
// to.
bool is_strict_operator(const node* expression) {
  static const std::set<std::string_view> known{
      "=", "<>", "<", ">", "<=", ">=", "+", "-", "*", "/", "%"};
  return known.contains(operator_of(expression));
}

// Whether the expression is NULL when a column in it is.
bool is_strict(const query_context& in, const node* expression) {
  if (column_ref(expression) != nullptr) return true;
  if (expression->node_case == PG_QUERY__NODE__NODE_A_CONST) return true;
  if (expression->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) {
    return in.query.casts_keep_null && is_strict(in, expression->type_cast->arg);
  }
  const PgQuery__AExpr* both = operation(expression);
  return is_strict_operator(expression) && both->rexpr != nullptr &&
         (both->lexpr == nullptr || is_strict(in, both->lexpr)) && is_strict(in, both->rexpr);
}

// An expression that doubles with each subquery on its way is not followed for ever.
constexpr std::size_t most_nodes = 5'000;

std::size_t size_of(const node* expression) {
  std::size_t out = 0;
  walk(expression, [&out](ProtobufCMessage* /*message*/) {
    ++out;
    return true;
  });
  return out;
}

std::set<std::string> joined(std::set<std::string> left, const std::set<std::string>& right) {
  left.insert(right.begin(), right.end());
  return left;
}

}  // namespace

key_graph::key_graph(const query_context& in, const relation& query, std::vector<int>& branches,
                     branch_types& types)
    : in_(in), branches_(branches), types_(types) {
  output_ = add_query(query, {});
}

node* key_graph::followed(const node* expression) const {
  node* out = copy(in_.memory, expression);
  bool lost = false;
  std::size_t size = 0;
  replace(out, [&](node* at) -> node* {
    const PgQuery__ColumnRef* column = column_ref(at);
    if (column == nullptr) {
      lost = lost || sub_link(at) != nullptr;
      return at;
    }
    if (in_.query.scan_of(std::string(string_of(column->fields[0]))) != nullptr) return at;
    const node* inner = column_of_subquery(column);
    if (inner != nullptr) size += size_of(inner);
    lost = lost || inner == nullptr || size > most_nodes;
    return lost ? at : copy(in_.memory, inner);
  });
  if (lost) return nullptr;
  keep_parentheses(in_.memory, &out->base);
  return out;
}

// Nothing if it cannot be followed.
const node* key_graph::column_of_subquery(const PgQuery__ColumnRef* column) const {
  const auto found = derived_.find(std::string(string_of(column->fields[0])));
  if (found == derived_.end()) return nullptr;
  for (const followed_column& one : found->second.columns) {
    if (one.name != string_of(column->fields[1]) || one.expression == nullptr) continue;
    if (found->second.nulled && !is_nulled_with(found->second, one.expression)) continue;
    return one.expression;
  }
  return nullptr;
}

// Whether the expression is NULL in a row for which an outer join found nothing in the subquery: a
// constant is not, nor is a column of an outer table that LATERAL passed through.
bool key_graph::is_nulled_with(const derived_table& subquery, const node* expression) const {
  const std::set<std::string> on = aliases_in(expression);
  return is_strict(in_, expression) &&
         std::any_of(on.begin(), on.end(),
                     [&](const std::string& one) { return subquery.vertices.contains(one); });
}

std::vector<followed_column> key_graph::add_query(const relation& query, vertex_set needed_by) {
  const select_parts parts = parts_of(query);
  // An aggregate yields its row without any row below; of a set operation no branch is needed for
  // sure.
  const bool from_nothing = parts.aggregate != nullptr &&
                            (parts.aggregate->expressions.empty() || has_grouping_sets(query));
  if (from_nothing) needed_by.clear();
  const std::size_t before = vertices_.size();
  std::vector<followed_column> out =
      is_set_operation(*parts.from) ? add_branch(query) : add_select(query, needed_by);
  if (parts.limit == nullptr) return out;
  limited_.merge(vertices_since(before));
  for (followed_column& one : out) one.expression = nullptr;
  return out;
}

std::vector<followed_column> key_graph::add_branch(const relation& query) {
  std::vector<const relation*> path{&query};
  select_parts parts = parts_of(query);
  do {
    if (next_branch_ == branches_.size()) branches_.push_back(0);
    path.push_back(branches_[next_branch_++] == 1 ? parts.from->right : parts.from->input);
    parts = parts_of(*path.back());
  } while (is_set_operation(*parts.from) && parts.limit == nullptr);
  std::vector<followed_column> out = add_query(*path.back(), {});
  const std::vector<std::string> names = column_names(query);
  for (std::size_t i = 0; i < out.size() && i < names.size(); ++i) {
    out[i].name = names[i];
    // What is computed with it would be another value with the branch's own type: x / 2 of an
    // integer that stands beside a numeric.
    if (out[i].expression != nullptr) out[i].expression = types_.cast(out[i].expression, path, i);
  }
  return out;
}

std::set<std::string> key_graph::vertices_since(std::size_t before) const {
  return {vertices_.begin() + static_cast<long>(before), vertices_.end()};
}

std::vector<followed_column> key_graph::add_select(const relation& query,
                                                   const vertex_set& needed_by) {
  const std::size_t before = vertices_.size();
  const select_parts parts = parts_of(query);
  add_from(*parts.from, needed_by);
  // Of a correlated subquery that may yield nothing a condition says nothing about outer tables.
  const vertex_set scope = joined(needed_by, vertices_since(before));
  if (parts.where != nullptr) {
    for (const expression& condition : parts.where->expressions) {
      add_condition(condition.tree, scope);
      add_subqueries(condition, scope);
    }
  }
  for (const relation* one : {parts.project, parts.aggregate, parts.sort, parts.having}) {
    if (one == nullptr) continue;
    for (const expression& below : one->expressions) add_subqueries(below, {});
  }
  return columns_of(query);
}

std::vector<followed_column> key_graph::columns_of(const relation& query) const {
  std::vector<followed_column> out;
  const relation* project = parts_of(query).project;
  if (project == nullptr) return out;
  const std::optional<std::vector<node*>> allowed = deciding_expressions(in_, query);
  const auto sets = std::ranges::count_if(project->expressions, [&](const expression& one) {
    return returns_set(in_, res_target(one.tree)->val);
  });
  for (const expression& one : project->expressions) {
    const PgQuery__ResTarget* target = res_target(one.tree);
    // Several go in step: without the others, one that ends sooner has no NULLs.
    const bool in_step = sets > 1 && returns_set(in_, target->val);
    const bool free =
        !allowed || std::any_of(allowed->begin(), allowed->end(),
                                [&](const node* known) { return same(known, target->val); });
    const bool can = free && !in_step && aggregates_in(in_, target->val).empty() &&
                     windows_in(target->val).empty();
    out.push_back({target->name, can ? followed(target->val) : nullptr});
  }
  return out;
}

void key_graph::add_from(const relation& item, const vertex_set& needed_by) {
  if (item.kind == relation_kind::scan) {
    vertices_.emplace_back(item.alias);
  } else if (item.kind == relation_kind::rename) {
    const std::size_t before = vertices_.size();
    const std::string alias(item.alias);
    derived_table made{add_query(*item.input, needed_by), {}, false};
    made.vertices = vertices_since(before);
    derived_[alias] = std::move(made);
    subqueries_.push_back(alias);
  } else if (is_join(item)) {
    add_join(item, needed_by);
  }
}

void key_graph::add_join(const relation& join, const vertex_set& needed_by) {
  const bool inner = join.kind == relation_kind::inner_join;
  const bool full = join.kind == relation_kind::full_join;
  const bool left_preserved = preserves_left(join);
  const bool right_preserved = preserves_right(join);
  const std::size_t before = vertices_.size();
  const std::size_t first_subquery = subqueries_.size();
  add_from(*join.input, right_preserved ? vertex_set() : needed_by);
  const std::size_t middle = vertices_.size();
  const std::size_t middle_subquery = subqueries_.size();
  const vertex_set outside = inner ? joined(needed_by, vertices_since(before)) : needed_by;
  add_from(*join.right, left_preserved ? vertex_set() : outside);
  const auto at = [this](std::size_t index) {
    return vertices_.begin() + static_cast<long>(index);
  };
  const std::set<std::string> left(at(before), at(middle));
  const std::set<std::string> right(at(middle), vertices_.end());
  // ON of an outer join says nothing about the rows of the preserved side alone.
  vertex_set scope;
  if (join.kind != relation_kind::left_join) scope = left;
  if (join.kind != relation_kind::right_join) scope.insert(right.begin(), right.end());
  if (inner) scope = joined(std::move(scope), needed_by);
  for (const expression& condition : join.expressions) {
    const bool one_side_of_full = full && !touches_both(condition.tree, left, right);
    if (!one_side_of_full) add_condition(condition.tree, scope);
    add_subqueries(condition, scope);
  }
  if (full) note_merged(join, left, right);
  if (left_preserved) {
    nulled_.insert(right.begin(), right.end());
    note_nulled(middle_subquery, subqueries_.size());
  }
  if (right_preserved) {
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

void key_graph::note_merged(const relation& join, const std::set<std::string>& left,
                            const std::set<std::string>& right) {
  const auto owned_by = [this](const node* expression, const std::set<std::string>& side) {
    const std::set<std::string> aliases = aliases_in(expression);
    return aliases.size() == 1 && side.contains(*aliases.begin()) &&
           !nulled_.contains(*aliases.begin());
  };
  for (const expression& condition : join.expressions) {
    if (!is_equality(condition.tree)) continue;
    node* own_a = operation(condition.tree)->lexpr;
    node* own_b = operation(condition.tree)->rexpr;
    node* a = followed(own_a);
    node* b = followed(own_b);
    if (a == nullptr || b == nullptr) continue;
    if (owned_by(b, left) && owned_by(a, right)) {
      std::swap(a, b);
      std::swap(own_a, own_b);
    }
    if (!owned_by(a, left) || !owned_by(b, right)) continue;
    // USING of two types: which of them the column has, and how it is spelled, depends on the row.
    const bool columns = table_column(in_, a) != nullptr && table_column(in_, b) != nullptr;
    if (columns && !have_one_equality(in_, a, b)) continue;
    merged_.push_back({make_coalesce(in_.memory, own_a, own_b), make_coalesce(in_.memory, a, b), a,
                       b, left, right});
  }
}

// A condition holds between its vertices where one of `scope` has a part.
void key_graph::keep(node* expression, const std::set<std::string>& scope, bool equality) {
  std::set<std::string> on = aliases_in(expression);
  const auto any_in = [&on](const std::set<std::string>& those) {
    return std::any_of(on.begin(), on.end(),
                       [&](const std::string& one) { return those.contains(one); });
  };
  if (!any_in(scope) || (any_in(nulled_) && !is_strict(in_, expression))) return;
  // HAVING of an outer query may stand in a subquery of it.
  if (!aggregates_in(in_, expression).empty() || returns_set(in_, expression)) return;
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

void key_graph::add_subqueries(const expression& of, const vertex_set& must_hold) {
  for (const dependent_join& sub : of.subqueries) {
    const std::size_t before = vertices_.size();
    const vertex_set needed_by = sub.kind == dependent_kind::semi_join ? must_hold : vertex_set();
    const std::vector<followed_column> columns = add_query(*sub.query, needed_by);
    const vertex_set own = vertices_since(before);
    for (const std::string& vertex : own) in_expressions_.emplace(vertex, &sub);
    add_in(sub.written, columns, joined(needed_by, own), !needed_by.empty());
  }
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
