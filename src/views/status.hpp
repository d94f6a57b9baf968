#pragma once

#include "store/incremental_catalog.hpp"
#include "store/sources.hpp"
#include "store/status_catalog.hpp"
#include <matview/status.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace matview::views {

// What follows from what was read of a view. All pure.

/// What was read of one view.
struct status_case {
  store::status_facts facts = {};
  /// Unset: nothing can be read, and why is known.
  std::optional<store::status_memory> memory = {};
  std::string no_memory = {};  ///< Why, as a sentence.
  bool standby = false;
  std::optional<store::view_sources> sources = {};           ///< If needs_sources().
  std::optional<store::incremental_state> incremental = {};  ///< Of an incremental view, if known.
  std::string no_incremental = {};                           ///< Else why, as a sentence.
  std::vector<store::status_schedule> schedules = {};
};

/// Why what is remembered of a view's tables tells nothing of it now, as a sentence; or empty.
[[nodiscard]] std::string reason_not_to_compare(const status_case& view);

/// Whether its tables must be looked at to know whether it is fresh.
[[nodiscard]] bool needs_sources(const status_case& view);

/// How a running refresh stands against the usual, as a sentence: longer is what is more than three
/// deviations, as a normal distribution has them, and more than a tenth beyond the median.
[[nodiscard]] std::string compared_with_usual(std::optional<std::chrono::microseconds> elapsed,
                                              const std::optional<view_status::usual_time>& usual);

/// All of it. The first of the schedules is the next.
[[nodiscard]] view_status status_of(const status_case& view);

/// What this role cannot see of what is remembered, as sentences; the first is of the history, if
/// that cannot be seen.
[[nodiscard]] std::vector<std::string> unseen_by(const store::status_access& access);

}  // namespace matview::views
