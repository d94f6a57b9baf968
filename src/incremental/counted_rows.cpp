#include "incremental/counted_rows.hpp"

#include "incremental/derive.hpp"
#include "incremental/explanation.hpp"
#include "incremental/properties.hpp"
#include "incremental/replaced_rows.hpp"
#include "incremental/residue.hpp"
#include "incremental/unique_rows.hpp"
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace matview::incremental {

namespace {

using texts = std::vector<std::string>;

class counted_rows final {
 public:
  explicit counted_rows(draft& to) : draft_(to), formula_(counted_formula(to.top)) {}
  counted_rows(const counted_rows&) = delete;
  counted_rows& operator=(const counted_rows&) = delete;

  // Whether it can be counted how often each row is there.
  [[nodiscard]] bool possible() const noexcept { return formula_.has_value(); }

  void run() {
    const residue_order order = order_of(draft_.in, draft_.query.tree, draft_.input.facts);
    if (std::ranges::any_of(order.hidden, has_sub_link)) {
      replace_by_keys(draft_, "the rows", "because of a subquery in ORDER BY");
      return;
    }
    keyed_storage storage;
    storage.counters = leaves_;
    for (const store::column_facts& column : draft_.input.facts.output) {
      if (!column.hashable) {
        replace_by_keys(draft_, "the rows",
                        "because a column has a type whose values cannot be counted by a hash");
        return;
      }
      storage.keys.push_back(column.name);
      storage.types.push_back(column.type);
    }
    const select_statement* only = branches_.size() == 1 ? branches_.front().query : nullptr;
    for (std::size_t i = 0; i < storage.keys.size(); ++i) {
      const bool target = only != nullptr && i < only->n_target_list;
      storage.traits.push_back(
          {.nullable = !target || !never_null(draft_.in, *derive(draft_.in, only),
                                              res_target(only->target_list[i])->val),
           .fixed = draft_.input.facts.output[i].fixed_size,
           .array = is_array(draft_.input.facts.output[i].type)});
    }
    for (std::size_t i = 0; i < order.hidden.size(); ++i) {
      storage.keys.push_back(fmt::format("__mv_o{}", i + 1));
      storage.traits.push_back({});
    }
    const auto identity =
        only == nullptr || is_set_ ? std::nullopt : identifying_targets(draft_.in, only);
    const bool unique = identity.has_value();
    draft_.out.mechanism = "L";
    draft_.out.unique_rows = unique || is_set_;
    std::vector<const select_statement*> queries;
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
    draft_.out.view = finish_view(draft_.in, draft_.query.tree, order, columns, from, where);
    draft_.out.parts.insert(
        draft_.out.parts.begin(),
        {"the rows", "L",
         unique ? "each row is kept once: " + told_apart(storage.keys, *identity)
                : "each different row is kept once, with the number of its copies"});
    if (leaves_ > 1 || is_set_) {
      draft_.out.parts.insert(draft_.out.parts.begin(),
                              {counted_operations(draft_.top), "residue",
                               "decided by the counters when the view is read"});
    }
    draft_.explain_residue(nullptr, "rows");
  }

 private:
  struct branch {
    const select_statement* query;
    std::size_t leaf;
  };

  bool is_distinct_of_linear(const select_statement* query) {
    if (is_set_operation(query) || query->n_distinct_clause == 0 || query->n_values_lists > 0 ||
        query->distinct_clause[0]->node_case != PG_QUERY__NODE__NODE__NOT_SET) {
      return false;
    }
    select_statement* all = copy(draft_.memory, query);
    all->n_distinct_clause = 0;
    all->n_sort_clause = 0;
    return is_linear(*derive(draft_.in, all));
  }

  void add_branches(const select_statement* query, std::size_t leaf) {
    if (!is_set_operation(query)) {
      branches_.push_back({query, leaf});
      return;
    }
    add_branches(query->larg, leaf);
    add_branches(query->rarg, leaf);
  }

  // How often a row is in the result, by the counters of the branches; nothing if this cannot be
  // counted.
  std::optional<std::string> counted_formula(const select_statement* query) {
    if (query->limit_count != nullptr || query->limit_offset != nullptr) return std::nullopt;
    if (is_linear(*derive(draft_.in, query))) {
      add_branches(query, ++leaves_);
      return fmt::format("s.__mv_n{}", leaves_);
    }
    if (is_distinct_of_linear(query)) {
      branches_.push_back({query, ++leaves_});
      is_set_ = true;
      return fmt::format("least(s.__mv_n{}, 1)", leaves_);
    }
    if (!is_set_operation(query)) return std::nullopt;
    const auto left = counted_formula(query->larg);
    const auto right = left ? counted_formula(query->rarg) : std::nullopt;
    if (!right) return std::nullopt;
    const bool all = query->all != 0;
    is_set_ = !all;
    switch (query->op) {
      case PG_QUERY__SET_OPERATION__SETOP_UNION:
        return all ? fmt::format("({} + {})", *left, *right)
                   : fmt::format("least({} + {}, 1)", *left, *right);
      case PG_QUERY__SET_OPERATION__SETOP_INTERSECT:
        return all ? fmt::format("least({}, {})", *left, *right)
                   : fmt::format("least({}, {}, 1)", *left, *right);
      default:
        return all ? fmt::format("greatest({} - {}, 0)", *left, *right)
                   : fmt::format("CASE WHEN {} > 0 AND {} = 0 THEN 1 ELSE 0 END", *left, *right);
    }
  }

  static std::string told_apart(const texts& columns, const std::vector<std::size_t>& identity) {
    texts names;
    for (const std::size_t place : identity) names.push_back(quoted(columns[place]));
    return fmt::format("primary keys tell it from all others, here by {}", fmt::join(names, ", "));
  }

  select_statement* counted_branch(const branch& one, const residue_order& order) {
    select_statement* out = without_order(draft_.in, one.query);
    out->n_distinct_clause = 0;
    if (out->n_values_lists > 0) return values_branch(out, one.leaf);
    for (std::size_t i = 0; i < out->n_target_list; ++i) {
      res_target(out->target_list[i])->name = draft_.memory.text(fmt::format("k{}", i + 1));
    }
    for (node* hidden : order.hidden) {
      append(draft_.memory, out->n_target_list, out->target_list,
             make_target(draft_.memory, copy(draft_.memory, hidden),
                         fmt::format("k{}", out->n_target_list + 1)));
    }
    draft_.add_leaf(out, one.leaf);
    return out;
  }

  select_statement* values_branch(select_statement* values, std::size_t leaf) {
    texts columns;
    const std::size_t count = values->values_lists[0]->list->n_items;
    for (std::size_t i = 1; i <= count; ++i) columns.push_back(fmt::format("k{}", i));
    select_statement* out = parse_query(
        draft_.memory,
        fmt::format("SELECT {0} FROM ({1}) AS v({0})", fmt::join(columns, ", "), print(values)));
    draft_.add_leaf(out, leaf);
    return out;
  }

  draft& draft_;
  std::vector<branch> branches_ = {};
  std::size_t leaves_ = 0;
  bool is_set_ = false;
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
