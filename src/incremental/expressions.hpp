#pragma once

#include "incremental/resolve.hpp"
#include "incremental/syntax.hpp"

#include <string>
#include <vector>

namespace matview::incremental {

// Questions about one expression of a resolved query.

/// What the compiler goes by throughout.
struct query_context {
  arena& memory;
  const resolved_query& query;
  const store::query_facts& facts;
  const store::known_types& types;
};

/// Thrown where a part of a query asks for what only the server knows.
struct unknown_types {
  std::string query;
};

/// The columns of a query that can stand alone.
/// @throws unknown_types, not_incremental
[[nodiscard]] const std::vector<store::column_facts>& types_of(const query_context& in,
                                                               const std::string& query);

/// Whether a function in it, but not in its subqueries, makes several rows of one.
[[nodiscard]] bool returns_set(const query_context& in, node* expression);

/// Whether the call is an aggregate of the SELECT that it stands in.
[[nodiscard]] bool is_aggregate(const PgQuery__FuncCall* call, const store::query_facts& facts);

/// Aggregates and window functions in an expression, not those inside its subqueries.
[[nodiscard]] std::vector<node*> aggregates_in(const query_context& in, node* expression);
[[nodiscard]] std::vector<PgQuery__FuncCall*> windows_in(node* expression);

/// The column of a table that the expression is, if it is just that.
[[nodiscard]] const store::column_facts* table_column(const query_context& in,
                                                      const node* expression);

/// Whether two columns of tables can only be equal if no third value tells them apart: not so a
/// float and a numeric, nor texts of which one is padded or has a collation that ignores case.
[[nodiscard]] bool have_one_equality(const query_context& in, const node* left, const node* right);

}  // namespace matview::incremental
