#include "incremental/counted_rows.hpp"

#include "incremental/derive.hpp"
#include "incremental/explanation.hpp"
#include "incremental/projection.hpp"
#include "incremental/properties.hpp"
#include "incremental/replaced_rows.hpp"
#include "incremental/residue.hpp"
#include "incremental/unique_rows.hpp"
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace matview::incremental {

namespace {

using texts = std::vector<std::string>;

class counted_rows final {
 public:
  explicit counted_rows(draft& to) : draft_(to), formula_(counted_formula(*to.top)) {}
  counted_rows(const counted_rows&) = delete;
  counted_rows& operator=(const counted_rows&) = delete;

  // Whether it can be counted how often each row is there.
  [[nodiscard]] bool possible() const noexcept { return formula_.has_value(); }

  void run() {
    const residue_order order = order_of(draft_.in, *draft_.whole);
    if (const std::string why = not_counted(order); !why.empty()) {
      replace_by_keys(draft_, "the rows", "because " + why);
      return;
    }
    keyed_storage storage;
    storage.counters = leaves_;
    for (const store::column_facts& column : draft_.input.facts.output) {
      storage.keys.push_back(column.name);
      storage.types.push_back(column.type);
    }
    const relation* only = branches_.size() == 1 ? branches_.front().rows : nullptr;
    const auto shown = only == nullptr ? std::span<const expression>() : targets_of(*only);
    for (std::size_t i = 0; i < storage.keys.size(); ++i) {
      const bool never =
          i < shown.size() && never_null(draft_.in, *only, res_target(shown[i].tree)->val);
      storage.traits.push_back({.nullable = !never,
                                .fixed = draft_.input.facts.output[i].fixed_size,
                                .array = is_array(draft_.input.facts.output[i].type)});
    }
    for (std::size_t i = 0; i < order.hidden.size(); ++i) {
      storage.keys.push_back(fmt::format("__mv_o{}", i + 1));
      storage.traits.push_back({});
    }
    const auto identity =
        only == nullptr || is_set_ || std::ranges::any_of(order.hidden, may_return_set)
            ? std::nullopt
            : identifying_targets(draft_.in, *only);
    const bool unique = identity.has_value();
    draft_.out.mechanism = "L";
    draft_.out.unique_rows = unique || is_set_;
    find_casts();
    std::vector<const relation*> queries;
    for (const branch& one : branches_) queries.push_back(counted_branch(one, order));
    if (identity) {
      identified_storage rows{
          .columns = storage.keys, .types = storage.types, .identity = *identity, .traits = {}};
      for (const std::size_t place : *identity) rows.traits.push_back(storage.traits[place]);
      draft_.maintain(rows, queries);
    } else {
      draft_.maintain(storage, queries, "");
    }
    for (const std::string& key : storage.keys) draft_.out.stored[key] = quoted(key);
    texts columns;
    for (const store::column_facts& column : draft_.input.facts.output) {
      columns.push_back("s." + quoted(column.name));
    }
    std::string from = draft_.input.parts.storage + " AS s";
    std::string where;
    if (is_set_) {
      where = leaves_ == 1 ? "" : *formula_ + " > 0";
    } else if (!unique) {
      from += fmt::format(", generate_series(1::bigint, {})", *formula_);
    }
    draft_.out.view = finish_view(draft_.in, *draft_.whole, order, columns, from, where);
    draft_.out.parts.insert(
        draft_.out.parts.begin(),
        {"the rows", "L",
         unique ? "each row is kept once: " + told_apart(storage.keys, *identity)
                : "each different row is kept once, with the number of its copies"});
    if (leaves_ > 1 || is_set_) {
      draft_.out.parts.insert(draft_.out.parts.begin(),
                              {counted_operations(*draft_.top), "residue",
                               "decided by the counters when the view is read"});
    }
    draft_.explain_residue(nullptr, "rows");
  }

 private:
  // Why rows are not told apart by their values and those that ORDER BY goes by; nothing if they
  // are.
  std::string not_counted(const residue_order& order) const {
    if (std::ranges::any_of(order.hidden, has_sub_link)) return "of a subquery in ORDER BY";
    if (std::ranges::any_of(order.hidden, [](node* one) { return !windows_in(one).empty(); })) {
      return "of a window function in ORDER BY";
    }
    const auto hashable = [](const store::column_facts& one) { return one.hashable; };
    if (!std::ranges::all_of(draft_.input.facts.output, hashable)) {
      return "a column has a type whose values cannot be counted by a hash";
    }
    if (order.hidden.empty()) return {};
    std::vector<node*> targets;
    for (node* one : order.hidden) {
      targets.push_back(make_target(draft_.memory, one, fmt::format("c{}", targets.size() + 1)));
    }
    const relation* sorted = projected(draft_.in, *parts_of(*draft_.top).project->input, targets);
    return std::ranges::all_of(types_of(draft_.in, print(statement_of(draft_.memory, *sorted))),
                               hashable)
               ? ""
               : "ORDER BY goes by a type whose values cannot be counted by a hash";
  }

  struct branch {
    const relation* rows;  // Without DISTINCT and ORDER BY.
    std::size_t leaf;
  };

  void add_branches(const relation& query, std::size_t leaf) {
    const select_parts parts = parts_of(query);
    if (is_set_operation(*parts.from)) {
      add_branches(*parts.from->input, leaf);
      add_branches(*parts.from->right, leaf);
    } else {
      branches_.push_back({parts.project != nullptr ? parts.project : parts.from, leaf});
    }
  }

  // How often a row is in the result, by the counters of the branches; nothing if this cannot be
  // counted.
  std::optional<std::string> counted_formula(const relation& query) {
    const select_parts parts = parts_of(query);
    if (parts.limit != nullptr) return std::nullopt;
    if (is_linear(query)) {
      add_branches(query, ++leaves_);
      return fmt::format("s.__mv_n{}", leaves_);
    }
    if (parts.distinct != nullptr && parts.distinct->kind == relation_kind::distinct &&
        is_linear(*parts.project)) {
      branches_.push_back({parts.project, ++leaves_});
      is_set_ = true;
      return fmt::format("least(s.__mv_n{}, 1)", leaves_);
    }
    return is_set_operation(*parts.from) ? counted_formula_of_both(*parts.from) : std::nullopt;
  }

  std::optional<std::string> counted_formula_of_both(const relation& operation) {
    const auto left = counted_formula(*operation.input);
    const auto right = left ? counted_formula(*operation.right) : std::nullopt;
    if (!right) return std::nullopt;
    const bool all = operation.all;
    is_set_ = !all;
    switch (operation.kind) {
      case relation_kind::set_union:
        return all ? fmt::format("({} + {})", *left, *right)
                   : fmt::format("least({} + {}, 1)", *left, *right);
      case relation_kind::intersection:
        return all ? fmt::format("least({}, {})", *left, *right)
                   : fmt::format("least({}, {}, 1)", *left, *right);
      default:
        return all ? fmt::format("greatest({} - {}, 0)", *left, *right)
                   : fmt::format("CASE WHEN {} > 0 AND {} = 0 THEN 1 ELSE 0 END", *left, *right);
    }
  }

  static std::span<const expression> targets_of(const relation& rows) {
    return rows.kind == relation_kind::project ? rows.expressions : std::span<const expression>();
  }

  static std::string told_apart(const texts& columns, const std::vector<std::size_t>& identity) {
    texts names;
    for (const std::size_t place : identity) names.push_back(quoted(columns[place]));
    return fmt::format("primary keys tell it from all others, here by {}", fmt::join(names, ", "));
  }

  // Which columns all branches have to be cast to the type of the whole: with three or more, what
  // is put together here in one row goes by other pairs than the query's.
  void find_casts() {
    cast_.assign(draft_.input.facts.output.size(), false);
    if (branches_.size() < 3) return;
    for (const branch& one : branches_) {
      const auto& types = types_of(draft_.in, print(statement_of(draft_.memory, *one.rows)));
      for (std::size_t i = 0; i < cast_.size(); ++i) {
        if (types[i].type != draft_.input.facts.output[i].type) cast_[i] = true;
      }
    }
  }

  const relation* counted_branch(const branch& one, const residue_order& order) {
    if (one.rows->kind == relation_kind::values) return values_branch(*one.rows, one.leaf);
    std::vector<node*> targets;
    const auto add = [&](node* value) {
      targets.push_back(make_target(draft_.memory, value, fmt::format("k{}", targets.size() + 1)));
    };
    for (const expression& target : one.rows->expressions) {
      node* value = res_target(target.tree)->val;
      const std::size_t place = targets.size();
      add(cast_[place]
              ? parse_expression(draft_.memory, fmt::format("({})::{}", print(value),
                                                            draft_.input.facts.output[place].type))
              : value);
    }
    for (node* hidden : order.hidden) add(hidden);
    return draft_.with_leaf(*projected(draft_.in, *one.rows->input, targets), one.leaf);
  }

  const relation* values_branch(const relation& values, std::size_t leaf) {
    texts columns;
    const std::size_t count = values.expressions.front().tree->list->n_items;
    for (std::size_t i = 1; i <= count; ++i) columns.push_back(fmt::format("k{}", i));
    const std::string text =
        fmt::format("SELECT {0} FROM ({1}) AS v({0})", fmt::join(columns, ", "),
                    print(statement_of(draft_.memory, values)));
    return draft_.with_leaf(*derive(draft_.in, parse_query(draft_.memory, text)), leaf);
  }

  draft& draft_;
  std::vector<branch> branches_ = {};
  std::size_t leaves_ = 0;
  bool is_set_ = false;
  std::vector<bool> cast_ = {};
  std::optional<std::string> formula_;  // Last: what makes it fills in the others.
};

}  // namespace

bool count_rows(draft& to) {
  counted_rows rows(to);
  if (!rows.possible()) return false;
  rows.run();
  return true;
}

}  // namespace matview::incremental
