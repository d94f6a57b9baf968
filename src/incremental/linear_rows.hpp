#pragma once

#include "incremental/algebra.hpp"
#include "incremental/program.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace matview::incremental {

// Mechanism L: how the rows of a query of inner joins, filters, projections and UNION ALL change.
//
// With D the set of its occurrences of changed tables, the change is the sum over the subsets A of
// D, but the empty one, of (-1)^(|A|+1) times the query with the changed rows in place of the
// tables in A and the new state of all others: inclusion and exclusion over new states, so that no
// old state is ever needed. A row's weight is the product of the weights (1 new, -1 old) of what it
// was made from.

/// Rows of `query`, a linear SELECT, with the weight w: a piece of section 1 for each set A.
/// @param most  of changed tables, at most.
[[nodiscard]] std::vector<piece> changed_rows(const query_context& in, const relation& query,
                                              const std::map<std::int64_t, int>& bits,
                                              const std::map<std::int64_t, int>& logs, int most);

/// How many tables may change at once so that the number of pieces stays small.
[[nodiscard]] int most_tables(const query_context& in, const std::vector<const relation*>& queries);

}  // namespace matview::incremental
