#pragma once

#include "incremental/affected_keys.hpp"
#include "incremental/draft.hpp"

#include <string>

namespace matview::incremental {

// Stage 5 of compile.hpp: mechanism K.

/// The rows or groups of the query, `what`, by keys; `because` says why they are not updated from
/// changes alone.
/// @throws not_incremental, unknown_types
void replace_by_keys(draft& to, const std::string& what, const std::string& because);

/// Adds hidden key columns to `query`, which is K's or the rows below GROUP BY of D; `source`
/// becomes the query of its storage.
/// @throws not_incremental, unknown_types
[[nodiscard]] replaced_storage key_storage(draft& to, select_statement* query, const key_plan& plan,
                                           std::string storage, std::string source_name,
                                           std::string& source);

}  // namespace matview::incremental
