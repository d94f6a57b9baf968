#include "incremental/projection.hpp"

#include "incremental/derive.hpp"

#include <functional>

namespace matview::incremental {

std::vector<node*> shown_by(const relation& project) {
  std::vector<node*> out;
  for (const expression& one : project.expressions) out.push_back(res_target(one.tree)->val);
  return out;
}

std::vector<std::string> column_names(const relation& query) {
  const select_parts parts = parts_of(query);
  if (is_set_operation(*parts.from)) return column_names(*parts.from->input);
  std::vector<std::string> out;
  if (parts.project == nullptr) return out;
  for (const expression& one : parts.project->expressions) {
    out.emplace_back(res_target(one.tree)->name);
  }
  return out;
}

const relation* projected(const query_context& in, const relation& input,
                          const std::vector<node*>& targets) {
  std::vector<expression> shown;
  shown.reserve(targets.size());
  for (node* one : targets) shown.push_back(derive_expression(in, one));
  return in.memory.keep(relation{
      .kind = relation_kind::project, .input = &input, .expressions = in.memory.keep(shown)});
}

namespace {

// The query with another projection; `change` makes it of the targets that there are.
const relation* with_targets(const query_context& in, const relation& query,
                             const std::function<void(std::vector<expression>&)>& change) {
  if (query.kind == relation_kind::values) return &query;
  relation out = query;
  if (query.kind == relation_kind::project) {
    std::vector<expression> targets(query.expressions.begin(), query.expressions.end());
    change(targets);
    out.expressions = in.memory.keep(targets);
  } else {
    out.input = with_targets(in, *query.input, change);
  }
  return in.memory.keep(out);
}

}  // namespace

const relation* with_target(const query_context& in, const relation& query, node* value,
                            std::string_view name) {
  const relation* out = with_targets(in, query, [&](std::vector<expression>& targets) {
    targets.push_back(derive_expression(in, make_target(in.memory, value, name)));
  });
  // Window functions are an operator of their own below the projection.
  return windows_in(value).empty() ? out : derive(in, statement_of(in.memory, *out));
}

const relation* with_names(const query_context& in, const relation& query,
                           const std::vector<std::string>& names) {
  return with_targets(in, query, [&](std::vector<expression>& targets) {
    for (std::size_t i = 0; i < targets.size() && i < names.size(); ++i) {
      targets[i].tree = make_target(in.memory, res_target(targets[i].tree)->val, names[i]);
    }
  });
}

}  // namespace matview::incremental
