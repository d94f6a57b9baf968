#pragma once

#include <matview/report.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace matview::views {

/// What is known of a view when its mode is chosen.
struct mode_facts {
  bool populated = false;
  bool unique_index = false;  ///< Has one that CONCURRENTLY can use.
  std::int64_t bytes = 0;     ///< Of its heap, as the catalog has it.
  int readers = 0;            ///< Other sessions that hold a lock on it to read it now.
  std::int64_t scans = 0;     ///< Since the statistics began.
  /// The median of its last full refreshes, if a history is kept.
  std::optional<std::chrono::duration<double>> usual_full = {};
};

struct chosen_mode {
  refresh_mode mode;
  std::string reason;  ///< A sentence.
};

/// full or concurrently: the latter whenever readers would notice the former and it can be had.
/// Pure.
[[nodiscard]] chosen_mode choose_mode(const mode_facts& facts);

}  // namespace matview::views
