#pragma once

#include "store/query_facts.hpp"

#include "incremental/refusal.hpp"

#include <cstddef>
#include <optional>
#include <string>

namespace matview::incremental {

/// Where in the user's own text that stands which was refused: 1-based, in characters. Nothing if
/// it stands elsewhere, as in a view underneath. Pure.
[[nodiscard]] std::optional<std::size_t> locate(const refusal& why, const std::string& query);

/// Whether, by the planner's estimate (EXPLAIN's JSON), a group holds so many rows that making one
/// anew costs more than following its changes. Pure.
[[nodiscard]] bool has_coarse_groups(const std::string& plan, const store::query_facts& facts);

}  // namespace matview::incremental
