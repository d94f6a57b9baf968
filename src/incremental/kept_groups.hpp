#pragma once

#include "incremental/draft.hpp"

namespace matview::incremental {

/// Stage 4 of compile.hpp: a row of the storage for each group of the query, which has to group.
/// @throws not_incremental, unknown_types
void keep_groups(draft& to);

}  // namespace matview::incremental
