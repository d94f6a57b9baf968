#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace matview::trial {

/// $MATVIEW_TRIAL_SEED, else random; printed once, so that any run can be repeated.
[[nodiscard]] std::uint64_t seed();

/// $MATVIEW_TRIAL_CASE: only this case of the sequential trial, as a report names it.
[[nodiscard]] std::optional<std::uint64_t> only_case();

/// $MATVIEW_TRIAL_SECONDS: how long each trial goes on; 20 when unset.
[[nodiscard]] std::chrono::seconds trial_time();

}  // namespace matview::trial
