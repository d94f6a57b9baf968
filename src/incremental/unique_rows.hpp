#pragma once

#include "incremental/algebra.hpp"

#include <cstddef>
#include <optional>
#include <vector>

namespace matview::incremental {

/// Whether an expression may yield several rows: unnest() and the like may stand in it; only
/// PostgreSQL's own operators and casts surely do not.
[[nodiscard]] bool may_return_set(const node* expression);

/// The targets that tell each row of `query` from all others, as indexes: primary keys of tables
/// whose rows determine those of all others, by the equalities of WHERE and ON. As few as suffice,
/// and all of them columns that are NOT NULL. Nothing if two rows may be the same, or if that
/// cannot be told: only inner joins of tables are looked at.
///
/// It is the closure of attributes under functional dependencies: Abiteboul, Hull, Vianu,
/// Foundations of Databases, 8.2.
[[nodiscard]] std::optional<std::vector<std::size_t>> identifying_targets(const query_context& in,
                                                                          const relation& query);

}  // namespace matview::incremental
