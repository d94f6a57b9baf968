#pragma once

#include <matview/options.hpp>
#include <matview/report.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace matview {

// The history of refreshes: a row in schema `matview` for each refresh, each one that was found not
// to be needed, each that failed, and each that somebody else did without this library, as far as
// the catalog lets it be seen. It is kept where that schema is and the role may write to it; the
// refresh and its row are one transaction.

/// What became of a refresh.
enum class history_outcome {
  done,      ///< The view's contents were made anew.
  skipped,   ///< It was not needed, or another one was running; the reason says which.
  failed,    ///< The view is as it was.
  in_doubt,  ///< The connection broke while it was committed.
  outside,   ///< Done by somebody else; seen later.
};

/// `done`, `skipped`, `failed`, `in doubt` or `outside`. Never fails.
[[nodiscard]] std::string_view to_string(history_outcome outcome) noexcept;

/// One row of the history. Plain data.
struct refresh_record {
  using time_point = std::chrono::system_clock::time_point;

  std::int64_t id = 0;
  std::string schema = {};               ///< Exactly as the server has it.
  std::string name = {};                 ///< Exactly as the server has it.
  std::optional<std::int64_t> oid = {};  ///< The view's own, as far as it was known.
  refresh_mode mode = refresh_mode::none;
  std::string reason = {};  ///< Why this mode, or why none.
  history_outcome outcome = history_outcome::done;
  refresh_origin asked_by = refresh_origin::api;
  std::string host = {};    ///< Of the client that asked.
  std::int64_t pid = 0;     ///< Of that client.
  time_point started = {};  ///< By the database's clock, as all times here.
  time_point finished = {};
  std::optional<std::int64_t> rows_before = {};
  std::optional<std::int64_t> rows_after = {};
  std::optional<std::int64_t> bytes_before = {};
  std::optional<std::int64_t> bytes_after = {};
  /// WAL that the server wrote meanwhile: at most what the refresh did, since it holds what others
  /// did at the same time.
  std::optional<std::int64_t> wal_bytes = {};
  int lock_waits = 0;         ///< How often it gave way to others and tried again.
  std::string care = {};      ///< What was done after it.
  std::string sqlstate = {};  ///< Of a failure.
  std::string error = {};     ///< Of a failure.
};

/// Options of list_history().
struct history_options {
  /// The alias of the database.
  std::string database = "default";
  /// The view; empty for all.
  std::string view = {};
  /// How many rows at most, the newest first.
  int limit = 20;
};

/// What is remembered; nothing where no history is kept.
/// @throws error  invalid_identifier; as the functions in views.hpp.
std::vector<refresh_record> list_history(const history_options& options = {});

/// Makes the schema `matview` if it is not there, so that a history is kept from now on.
/// @throws error  permission_denied, whose hint is the GRANT to run.
void keep_history(std::string_view database = "default");

/// Options of prune_history().
struct prune_options {
  /// The alias of the database.
  std::string database = "default";
  /// Older rows go; the last 20 of each view stay, from which its usual time is known.
  interval keep = interval::parse("90 days");
};

/// Deletes what is older, in batches, each a transaction of its own; returns how many rows.
std::int64_t prune_history(const prune_options& options = {});

}  // namespace matview
