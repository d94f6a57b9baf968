#pragma once

#include "cli/command.hpp"
#include <matview/refresh_many.hpp>

#include <optional>

namespace matview::cli {

/// What `refresh` was told. Plain data, filled by the parser.
struct refresh_arguments {
  view_selection which;
  std::optional<int> jobs;
  bool dry_run = false;
  bool concurrently = false;
  std::string mode;
  bool if_changed = false;
  std::string at_least_every;
  std::string max_age;
  std::string if_running;
  std::string max_duration;
  bool no_care = false;
  bool no_history = false;
  bool cancel = false;
  bool atomic = false;
  timeout_options timeouts;
};

/// @throws error with errc::invalid_option for options that do not go together, whose message says
///         what would.
void check_selection(const refresh_arguments& given);

/// Whether the order is the graph's and not the one in which views were named.
[[nodiscard]] bool needs_graph(const refresh_arguments& given);

/// Refreshes, or with --dry-run shows, what is meant in the order of the graph.
exit_code refresh_in_order(const refresh_arguments& given, const refresh_options& each,
                           const context& with);

}  // namespace matview::cli
