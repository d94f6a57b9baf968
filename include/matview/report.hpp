#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace matview {

/// How the contents of a view were made.
enum class refresh_mode {
  none,          ///< Not at all: it was created empty, was already there, or need not be refreshed.
  full,          ///< Written anew; readers of a native view wait at the end of it for the swap.
  concurrently,  ///< Compared with the old contents; readers never wait.
  incremental,   ///< Of an incremental view: what has changed was applied.
  diff,          ///< Of an incremental view: computed anew, and only what differs was written.
  swap,          ///< Of an incremental view: a new table was filled and put in the old one's place.
  automatic,     ///< Only as a wish: whichever suits the view now.
};

/// The name as the command line takes it, and `none`. Never fails.
[[nodiscard]] std::string_view to_string(refresh_mode mode) noexcept;

/// Who asked for a refresh.
enum class refresh_origin {
  hand,           ///< A person, on the command line.
  schedule,       ///< A schedule of this library.
  api,            ///< A program, through this library or its queue.
  somebody_else,  ///< Not this library: psql, another tool.
};

/// `hand`, `schedule`, `api` or `somebody else`. Never fails.
[[nodiscard]] std::string_view to_string(refresh_origin origin) noexcept;

/// What one create or refresh did. Plain data.
struct refresh_report {
  std::string view = {};                               ///< `schema.name`, as the server has it.
  refresh_mode mode = refresh_mode::none;              ///< What was done.
  std::string reason = {};                             ///< Why this mode, as a sentence.
  std::chrono::system_clock::time_point started = {};  ///< When it began, by this host's clock.
  std::chrono::microseconds duration{0};               ///< To the commit; of a refresh that gave
                                                       ///< way, from the beginning of its last try.
  std::optional<std::int64_t> rows_before = {};        ///< As far as the planner knew; as `rows`.
  std::optional<std::int64_t> rows = {};               ///< Rows now in the view, if it holds data.
                                                       ///< Unset by incremental views' refreshes.
  std::int64_t bytes = 0;                              ///< Size on disk with indexes and TOAST.
  int lock_waits = 0;        ///< How often it gave way to those who held the view, and tried again.
  bool incremental = false;  ///< Whether it is an incremental view.
  std::string care = {};  ///< What was done after the commit and why, or why not: see care_options.
};

}  // namespace matview
