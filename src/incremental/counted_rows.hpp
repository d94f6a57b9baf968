#pragma once

#include "incremental/draft.hpp"

namespace matview::incremental {

/// Stage 3 of compile.hpp: a row of the storage for each different row of the query. Does nothing
/// and returns false where it cannot be counted how often each is there.
/// @throws not_incremental, unknown_types
[[nodiscard]] bool count_rows(draft& to);

}  // namespace matview::incremental
