#pragma once

#include "incremental/algebra.hpp"
#include "incremental/program.hpp"
#include "incremental/refusal.hpp"

#include <string>
#include <vector>

namespace matview::incremental {

// Mechanism K: which keys of a query's rows a change may touch.
//
// Let C be columns of the result. For each occurrence t of a table, a query over the changed rows
// of t and the new state of other tables yields a superset of the values in C of all rows of the
// result that a change of t may add or take away. Then deleting the rows with these keys and
// inserting what the query now yields for them is right whatever else the query does.
//
// The graph: a vertex for each occurrence, however deep it stands; subqueries in FROM, LATERAL,
// EXISTS, IN, scalar subqueries all add their own. An edge leads from one vertex to another for
// each condition on both that holds whenever the first has a part in a row: WHERE and ON of the
// SELECT that both can be seen in, IN, and a correlated subquery's WHERE. It leads one way only
// where the other vertex has a part also in rows for which the condition does not hold: from ON's
// inner side to the preserved one, from NOT EXISTS and scalar subqueries to the outer query, but to
// EXISTS and IN that must be true both ways. Else (a CROSS JOIN b) LEFT JOIN c ON c.a = a.a AND c.b
// = b.b would have a's changes looked for behind rows of c that need not be there. A condition on a
// vertex that an outer join below the condition may have made NULL counts only if it is strict.
// From the vertex that owns C, its root, a tree of shortest paths reaches all others. The keys that
// t touches are found along its path to the root.
//
// Why the new state of the others is enough: let a row of the result be lost because the rows
// t, s1, ..., root that made it are gone in part. Take the one among the gone that is nearest to
// the root. The rest of its path is there in the new state, and its own changed row begins it.
// Paths of a tree are closed in that way.
//
// What an output column of a subquery can be followed through: its expression; of a grouped one the
// expressions of GROUP BY alone, of DISTINCT ON and windows those that decide, of LIMIT none. For a
// set operation one branch is taken after the other, and the keys are those of all.

/// How the keys that changed rows of a table touch are found.
struct key_path {
  std::string table;               ///< `schema.name`
  std::vector<std::string> chain;  ///< Occurrences, from its own to the one that has the key.
};

/// The key columns and how their values are found.
struct key_plan {
  std::vector<node*> expressions;    ///< In the terms of the SELECT itself.
  std::vector<std::string> columns;  ///< What they are called in the source: an output or __mv_k1.
  std::vector<piece> pieces;         ///< Of section 1: (k1, k2, ...).
  std::vector<key_path> paths;
  std::vector<node*> read;  ///< What its pieces ask the rows that own the key for.
};

/// For `query`, without ORDER BY and LIMIT at its top. `bits`: of each table, by its oid.
/// @throws not_incremental if there is no such key.
[[nodiscard]] key_plan plan_keys(const query_context& in, const relation& query,
                                 const std::map<std::int64_t, int>& bits,
                                 const std::map<std::int64_t, int>& logs);

}  // namespace matview::incremental
