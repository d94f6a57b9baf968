#pragma once

#include "incremental/algebra.hpp"

#include <string>
#include <vector>

namespace matview::incremental {

/// What the user of a view should know of what its query computes, as sentences.
[[nodiscard]] std::vector<std::string> notes_of(const query_context& in, const relation& whole);

}  // namespace matview::incremental
