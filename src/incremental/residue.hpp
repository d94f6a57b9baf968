#pragma once

#include "incremental/aggregates.hpp"
#include "incremental/algebra.hpp"

#include <string>
#include <vector>

namespace matview::incremental {

// The residue: what the view that users read computes from the storage, which stands in it as s.

/// ORDER BY at the top of a query that is not grouped.
struct residue_order {
  std::vector<node*> sort;    ///< Its items, in terms of s.
  std::vector<node*> hidden;  ///< What it goes by and the output lacks: columns __mv_o1, ...
};

[[nodiscard]] residue_order order_of(const query_context& in, const relation& query);

/// `SELECT columns FROM from WHERE where` with the ORDER BY and LIMIT of `query`.
[[nodiscard]] std::string finish_view(const query_context& in, const relation& query,
                                      const residue_order& order,
                                      const std::vector<std::string>& columns,
                                      const std::string& from, const std::string& where);

/// Expressions over groups.
struct group_residue {
  const query_context& in;
  const std::vector<node*>& keys;
  const std::vector<std::vector<std::size_t>>& sets;
  const std::vector<std::string>& names;  ///< Of the storage's key columns.
  const aggregate_state& state;

  /// In terms of s.
  [[nodiscard]] node* over(const node* expression) const;
  [[nodiscard]] std::string text(const node* expression) const { return print(over(expression)); }
  /// The same in terms of the storage's bare columns, for an index.
  [[nodiscard]] std::string stored(const node* expression) const;
};

/// As finish_view(), with DISTINCT and ORDER BY over groups.
[[nodiscard]] std::string finish_group_view(const group_residue& residue, const relation& query,
                                            const std::vector<std::string>& columns,
                                            const std::string& from, const std::string& where);

}  // namespace matview::incremental
