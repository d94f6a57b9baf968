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

/// `rows`, which are K's or those below GROUP BY of D, with hidden columns for those of their key
/// that they do not show.
[[nodiscard]] const relation* with_keys(const draft& to, const relation& rows,
                                        const key_plan& plan);

/// The storage of rows that have their key; `source` becomes its query.
/// @throws not_incremental, unknown_types
[[nodiscard]] replaced_storage key_storage(draft& to, const relation& rows, const key_plan& plan,
                                           std::string storage, std::string source_name,
                                           std::string& source);

}  // namespace matview::incremental
