#pragma once

#include "incremental/expressions.hpp"

#include <span>
#include <string_view>

namespace matview::incremental {

// The algebra: what a resolved query computes, as operators on relations. It is derived from the
// parse tree (derive.hpp); each rule of the compiler is stated on it and nowhere else, and what a
// rule makes of it is printed as SQL again. The operators of one SELECT stand on each other like
// this, each only where it is needed:
//
//   limit - sort - distinct - project - window - filter - aggregate - filter - joins of FROM
//                                                HAVING               WHERE
//
// Scalar expressions stay nodes of the parse tree: the algebra says where they stand, and what the
// subqueries in them do to the rows. A relation never changes; a rule makes another one, which may
// share parts with it. All of them live in the arena.

struct relation;

enum class relation_kind {
  unit,          ///< One row without columns: what a SELECT without FROM goes over.
  scan,          ///< The rows of a table.
  changes,       ///< The changed rows of a table with their weights; no query has it, deltas do.
  values,        ///< VALUES.
  function,      ///< A function in FROM.
  rename,        ///< A query under an alias: a subquery in FROM.
  inner_join,    ///< Also CROSS JOIN and the commas in FROM.
  left_join,     ///< With the rows of its left side for which ON is never true.
  right_join,    ///< With those of its right side.
  full_join,     ///< With those of both.
  filter,        ///< WHERE; on an aggregate, HAVING.
  aggregate,     ///< A row for each group.
  window,        ///< Values over partitions beside each row.
  project,       ///< What SELECT shows.
  distinct,      ///< Each row once.
  distinct_on,   ///< The first row for each value of its expressions.
  set_union,     ///< UNION.
  intersection,  ///< INTERSECT.
  difference,    ///< EXCEPT.
  sort,          ///< ORDER BY.
  limit,         ///< LIMIT and OFFSET.
};

/// What a subquery in an expression does to the row that the expression is computed for. It may
/// name columns of that row: a dependent join. (Neumann, Kemper, Unnesting Arbitrary Queries.)
enum class dependent_kind {
  semi_join,  ///< The row is there only if the subquery has a match: EXISTS and IN, if they must
              ///< be true for it.
  anti_join,  ///< Only if it has none: NOT EXISTS, NOT IN (which a NULL keeps from being true).
  mark_join,  ///< Whether there is a match is a value like others.
  scalar,     ///< So is the subquery's own value.
};

struct dependent_join {
  dependent_kind kind;
  const PgQuery__SubLink* written;  ///< Its operator, and the left side of an IN.
  const relation* query;
};

/// A scalar expression with its subqueries, those in the left side of an IN before the IN.
struct expression {
  node* tree;
  std::span<const dependent_join> subqueries;
};

/// An operator with what it goes over. Plain data.
struct relation {
  relation_kind kind = relation_kind::unit;
  const relation* input = nullptr;  ///< The left one of a join or a set operation.
  const relation* right = nullptr;  ///< Of these the other one.

  std::string_view alias = {};         ///< Of what stands in FROM, but joins.
  const scan* table = nullptr;         ///< Of scan and changes.
  const node* item = nullptr;          ///< Of scan, function, rename: as it stands in FROM.
  std::string_view changes_name = {};  ///< Of changes: what holds them.

  /// Of project: its targets. Of filter and joins: what is joined by AND. Of aggregate: the items
  /// of GROUP BY. Of window: the definitions of WINDOW. Of distinct_on and sort: theirs. Of values:
  /// its rows. Of function: its calls. Of limit: OFFSET and LIMIT, where they are.
  std::span<const expression> expressions = {};
  node* condition = nullptr;  ///< Of filter and joins: the expressions as they were written.

  /// Of window, and of sort for its own expressions: what each window function is partitioned by.
  std::span<const std::span<node* const>> partitions = {};

  bool all = false;        ///< Of set operations: ALL.
  bool in_a_list = false;  ///< Of inner_join: a comma in FROM.
  bool sets_once = false;  ///< Of aggregate: GROUP BY DISTINCT.

  const select_statement* bounds = nullptr;  ///< Of limit: where LIMIT and OFFSET are written.
};

/// The query that computes it; it shares nodes with the relation.
[[nodiscard]] select_statement* statement_of(arena& in, const relation& query);

/// The operators of one SELECT; nothing for those that it lacks.
struct select_parts {
  const relation* from = nullptr;  ///< Of VALUES and of a set operation that itself.
  const relation* where = nullptr;
  const relation* aggregate = nullptr;
  const relation* having = nullptr;
  const relation* window = nullptr;
  const relation* project = nullptr;
  const relation* distinct = nullptr;
  const relation* sort = nullptr;
  const relation* limit = nullptr;
};

[[nodiscard]] select_parts parts_of(const relation& query);

/// A join or set operation as SQL writes it: `LEFT JOIN`, `UNION`, without ALL.
[[nodiscard]] std::string_view keyword_of(const relation& of);

[[nodiscard]] bool is_join(const relation& of);
[[nodiscard]] bool is_set_operation(const relation& of);

/// Whether rows of this side of a join are there also where ON is never true for them; the columns
/// of the other side are NULL then.
[[nodiscard]] bool preserves_left(const relation& join);
[[nodiscard]] bool preserves_right(const relation& join);

}  // namespace matview::incremental
