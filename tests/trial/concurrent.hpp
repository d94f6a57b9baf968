#pragma once

#include "trial/runtime.hpp"
#include "trial/statistics.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace matview::trial {

/// Rounds of writers, refreshers and a pruner, all at once; each refresh is compared with the query
/// inside its own snapshot, and all once more when the writers have stopped. Until the time is
/// over, or a comparison fails: then what to print. What the threads do is drawn from the seed, how
/// they meet is not: a failure seldom comes again with the same seed.
std::optional<std::string> run_concurrent(const runtime& under_trial, std::chrono::seconds how_long,
                                          std::uint64_t seed, statistics& seen);

}  // namespace matview::trial
