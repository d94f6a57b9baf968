#pragma once

#include "incremental/algebra.hpp"

#include <optional>
#include <string>
#include <vector>

namespace matview::incremental {

// What can be said of a relation by looking at it.

/// The first part of a query that keeps it from being linear, as one writes it: `LEFT JOIN`,
/// `EXISTS`, `GROUP BY in a subquery`. Nothing if it is linear.
[[nodiscard]] std::optional<std::string> nonlinear_part(const relation& query);

/// The same of its FROM and WHERE alone, and of the subqueries beside its grouping.
[[nodiscard]] std::optional<std::string> nonlinear_core(const relation& query);

/// Whether the change of its rows is the sum of the changes of its tables: filters, projections,
/// inner joins, UNION ALL and functions in FROM, at any depth.
[[nodiscard]] inline bool is_linear(const relation& query) {
  return !nonlinear_part(query);
}

/// Whether it groups: by GROUP BY, HAVING or an aggregate among its targets.
[[nodiscard]] bool groups(const relation& query);
[[nodiscard]] bool has_windows(const relation& query);

/// The aliases of its tables, at any depth, those of subqueries in expressions included, in the
/// order of the text.
[[nodiscard]] std::vector<std::string> scans_in(const relation& query);

/// The expressions of GROUP BY, PARTITION BY and DISTINCT ON by which a key of this SELECT has to
/// go: all of them allow what is in the answer. Nothing if there are none.
/// @throws not_incremental for a window function without PARTITION BY.
[[nodiscard]] std::optional<std::vector<node*>> deciding_expressions(const query_context& in,
                                                                     const relation& query);

/// How many digits after the point all values of a numeric expression have, as its parts are
/// declared; nothing if each row has them as it happens. `query`: where it stands. `zero_fits`: the
/// constant 0 beside others, as in CASE ... ELSE 0 END, is not asked for its own: what has fewer
/// digits then is 0.
[[nodiscard]] std::optional<int> scale_of(const query_context& in, const relation& query,
                                          const node* number, bool zero_fits);

/// Whether an expression of this SELECT can never be NULL: a NOT NULL column that no outer join
/// makes NULL.
[[nodiscard]] bool never_null(const query_context& in, const relation& query,
                              const node* expression);

/// Whether the subquery names a column of the row that it is computed for.
[[nodiscard]] bool is_correlated(const dependent_join& of);

}  // namespace matview::incremental
