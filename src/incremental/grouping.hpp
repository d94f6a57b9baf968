#pragma once

#include "incremental/algebra.hpp"

#include <cstddef>
#include <vector>

namespace matview::incremental {

// What a SELECT groups by.

/// The expressions of GROUP BY, without grouping sets; what depends on a grouped primary key
/// (PostgreSQL lets such columns stand ungrouped) is among them.
[[nodiscard]] std::vector<node*> group_expressions(const query_context& in, const relation& query);

/// The columns that stand in an expression outside of aggregates, of GROUPING() and of `groups`.
[[nodiscard]] std::vector<node*> ungrouped_columns(const query_context& in, const node* expression,
                                                   const std::vector<node*>& groups);

[[nodiscard]] bool has_grouping_sets(const relation& query);

/// Each grouping set as indexes into `expressions`, which it fills. The query groups.
[[nodiscard]] std::vector<std::vector<std::size_t>> grouping_sets(const relation& query,
                                                                  std::vector<node*>& expressions);

}  // namespace matview::incremental
