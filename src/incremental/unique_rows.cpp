#include "incremental/unique_rows.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>

namespace matview::incremental {

namespace {

using table_column_name = std::pair<std::string, std::string>;  // Alias and column.

bool only_inner_joins(const relation& item) {
  if (item.kind == relation_kind::scan) return true;
  return item.kind == relation_kind::inner_join && only_inner_joins(*item.input) &&
         only_inner_joins(*item.right);
}

std::optional<table_column_name> named(const node* expression) {
  const PgQuery__ColumnRef* column = column_ref(expression);
  if (column == nullptr || column->n_fields != 2) return std::nullopt;
  return table_column_name(string_of(column->fields[0]), string_of(column->fields[1]));
}

class dependencies final {
 public:
  dependencies(const query_context& in, const relation& query) : in_(in) {
    const select_parts parts = parts_of(query);
    add_joins(*parts.from);
    if (parts.where != nullptr) add_equalities(*parts.where);
  }

  [[nodiscard]] const std::map<std::string, const std::vector<std::string>*>& scans() const {
    return scans_;
  }

  /// Whether a row of each of `from` leaves no choice for the rows of the others.
  [[nodiscard]] bool determine_all(std::set<std::string> from) const {
    std::set<table_column_name> known;
    const auto is_known = [&](const table_column_name& one) {
      return from.contains(one.first) || known.contains(one);
    };
    bool more = true;
    while (more) {
      more = false;
      for (const auto& [left, right] : equal_) {
        if (is_known(left)) more = known.insert(right).second || more;
        if (is_known(right)) more = known.insert(left).second || more;
      }
      for (const auto& [alias, key] : scans_) {
        const bool whole =
            !key->empty() && std::ranges::all_of(*key, [&, &name = alias](auto& one) {
              return known.contains({name, one});
            });
        if (whole) more = from.insert(alias).second || more;
      }
    }
    return from.size() == scans_.size();
  }

 private:
  void add_joins(const relation& item) {
    if (item.kind == relation_kind::scan) {
      scans_[std::string(item.alias)] = &item.table->table->primary_key;
      return;
    }
    add_joins(*item.input);
    add_joins(*item.right);
    add_equalities(item);
  }

  void add_equalities(const relation& of) {
    for (const expression& one : of.expressions) {
      if (!is_equality(one.tree)) continue;
      const node* left = operation(one.tree)->lexpr;
      const node* right = operation(one.tree)->rexpr;
      if (have_one_equality(in_, left, right)) equal_.emplace_back(*named(left), *named(right));
    }
  }

  const query_context& in_;
  std::vector<std::pair<table_column_name, table_column_name>> equal_;
  std::map<std::string, const std::vector<std::string>*> scans_;
};

}  // namespace

bool may_return_set(const node* expression) {
  bool found = false;
  walk(expression, [&](ProtobufCMessage* message) {
    const auto* both = as<PgQuery__AExpr>(message, pg_query__a__expr__descriptor);
    found = found || message->descriptor == &pg_query__func_call__descriptor ||
            (both != nullptr && both->n_name != 1);
    return !found;
  });
  return found;
}

std::optional<std::vector<std::size_t>> identifying_targets(const query_context& in,
                                                            const relation& query) {
  const select_parts parts = parts_of(query);
  if (parts.project == nullptr || !only_inner_joins(*parts.from)) return std::nullopt;
  std::map<table_column_name, std::size_t> shown;
  for (std::size_t i = 0; i < parts.project->expressions.size(); ++i) {
    const node* target = res_target(parts.project->expressions[i].tree)->val;
    if (const auto column = named(target)) {
      shown.emplace(*column, i);
    } else if (may_return_set(target)) {
      return std::nullopt;
    }
  }
  const dependencies depend(in, query);
  std::set<std::string> chosen;
  for (const auto& [alias, key] : depend.scans()) {
    const bool whole = std::ranges::all_of(*key, [&, &name = alias](const std::string& one) {
      return shown.contains({name, one});
    });
    if (!key->empty() && whole) chosen.insert(alias);
  }
  if (chosen.empty() || !depend.determine_all(chosen)) return std::nullopt;
  for (const std::string& alias : std::set<std::string>(chosen)) {
    chosen.erase(alias);
    if (chosen.empty() || !depend.determine_all(chosen)) chosen.insert(alias);
  }
  std::vector<std::size_t> out;
  for (const std::string& alias : chosen) {
    for (const std::string& column : *depend.scans().at(alias)) {
      out.push_back(shown.at({alias, column}));
    }
  }
  return out;
}

}  // namespace matview::incremental
