#pragma once

#include "store/query_facts.hpp"

#include "incremental/program.hpp"
#include "incremental/refusal.hpp"

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace matview::incremental {

// The compiler: a query, and what the server says of it, in; a program out. Pure: where it needs
// the types of expressions it says so, and is called again with the answer.
//
//   1. Names are resolved (resolve.hpp), and what makes a query impossible is refused. What the
//      query computes is derived as relations (algebra.hpp), on which all rules are stated.
//   2. ORDER BY and LIMIT at the top are taken off: they go into the view that users read.
//   3. Rows that are counted: a query of mechanism L, DISTINCT, UNION, EXCEPT and INTERSECT of such
//      become one row of the storage for each different row, with a counter for each branch; how
//      often it is in the result is an expression on the counters, in the users' view. Where
//      primary keys tell all rows apart there are no counters (unique_rows.hpp).
//   4. Groups: where all aggregates can be updated from changes (aggregates.hpp), the storage has
//      the state of each group, which the changes of the rows below are added to. These come by L
//      where FROM and WHERE are linear. Else the rows below are stored themselves, maintained by K,
//      and what K takes away and adds there is their change: mechanism D. It costs the storage of
//      those rows and spares the old state of the tables, which nobody has.
//      HAVING and expressions over aggregates go into the users' view.
//   5. Everything else goes by K (affected_keys.hpp).
//
// 3 to 5 are counted_rows.hpp, kept_groups.hpp and replaced_rows.hpp; what they share is draft.hpp.

/// A SELECT whose columns' types are wanted.
struct needs_types {
  std::string query;
};

struct compile_input {
  const store::query_facts& facts;
  view_parts parts;
  /// Answers to needs_types.
  store::known_types types = {};
  /// Whether a group has so many rows that making it anew is to be avoided.
  bool coarse_groups = false;
};

using compile_result = std::variant<compiled_view, refusal, needs_types>;

[[nodiscard]] compile_result compile(const compile_input& input);

/// What can be refused before the server is asked to plan the query, which it may not be able to.
[[nodiscard]] std::optional<refusal> early_refusal(const store::query_facts& facts);

}  // namespace matview::incremental
