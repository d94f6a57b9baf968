#include "incremental/branch_types.hpp"

#include "incremental/projection.hpp"
#include <fmt/format.h>

#include <set>

namespace matview::incremental {

namespace {

// Whether a column is, in all branches, a table's column of this same type.
bool is_column_of(const query_context& in, const relation& query, std::size_t place,
                  std::string& type) {
  const select_parts parts = parts_of(query);
  if (is_set_operation(*parts.from)) {
    return is_column_of(in, *parts.from->input, place, type) &&
           is_column_of(in, *parts.from->right, place, type);
  }
  if (parts.project == nullptr) return false;
  const node* value = res_target(parts.project->expressions[place].tree)->val;
  const store::column_facts* column = table_column(in, value);
  if (column == nullptr || (!type.empty() && column->type != type)) return false;
  type = column->type;
  return true;
}

// The query as it can stand alone: with NULL for each column of an outer table. Nothing if it names
// one of an outer subquery.
std::optional<std::string> standing_alone(const query_context& in, const relation& query) {
  node* text = copy(in.memory, wrap(in.memory, statement_of(in.memory, query)));
  const std::set<std::string> own = aliases_made_in(text);
  bool lost = false;
  replace(text, [&](node* at) -> node* {
    const PgQuery__ColumnRef* column = column_ref(at);
    if (column == nullptr || column->n_fields < 2 ||
        own.contains(std::string(string_of(column->fields[0])))) {
      return at;
    }
    const store::column_facts* facts = table_column(in, at);
    lost = lost || facts == nullptr;
    return lost ? at : parse_expression(in.memory, fmt::format("NULL::{}", facts->type));
  });
  if (lost) return std::nullopt;
  return print(select_of(text));
}

}  // namespace

const branch_types::types& branch_types::types_of_alone(const relation& query) {
  const auto before = known_.find(&query);
  if (before != known_.end()) return before->second;
  types& out = known_[&query];
  const std::optional<std::string> text = standing_alone(in_, query);
  if (!text) return out;
  const std::vector<store::column_facts>& columns = types_of(in_, *text);
  out.emplace();
  for (const store::column_facts& one : columns) out->push_back(one.type);
  return out;
}

node* branch_types::cast(node* expression, const std::vector<const relation*>& path,
                         std::size_t place) {
  std::string common;
  if (is_column_of(in_, *path.front(), place, common)) return expression;
  std::string type;
  std::string casts;
  const std::vector<const relation*> upwards(path.rbegin(), path.rend());
  for (const relation* at : upwards) {
    const types& known = types_of_alone(*at);
    if (!known) return nullptr;
    if (!type.empty() && known->at(place) != type) casts += "::" + known->at(place);
    type = known->at(place);
  }
  if (casts.empty()) return expression;
  return parse_expression(in_.memory, fmt::format("({}){}", print(expression), casts));
}

}  // namespace matview::incremental
