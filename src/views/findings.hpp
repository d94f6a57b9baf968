#pragma once

#include "store/doctor_catalog.hpp"
#include "store/incremental_catalog.hpp"
#include <matview/cron.hpp>
#include <matview/doctor.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace matview::views {

// What the facts mean: the doctor's judgement. Pure, but for the time zone files that a cron
// expression needs.

/// The search for columns that a unique index of a view could have.
struct unique_probe {
  /// Nothing: not searched, or the time was up.
  std::optional<std::vector<std::string>> columns = {};
  std::string why_not = {};  ///< Why there was no search, as the rest of a sentence: `it is empty`.
};

/// A view with all that is known of it.
struct view_case {
  store::view_facts facts;
  std::optional<unique_probe> probe = {};
  std::vector<store::function_facts> functions = {};
  std::vector<std::string> words = {};  ///< CURRENT_DATE and its kind.
  std::vector<store::unreadable_relation> unreadable = {};
  std::int64_t refresh_scans = 0;       ///< Scans by refreshes, at least, by the history.
  bool scheduled_concurrently = false;  ///< By a schedule that is not paused.
};

/// What all views have in common.
struct surroundings {
  store::server_facts server;
  std::vector<store::name_facts> names = {};  ///< What names in functions stand for.
  std::chrono::seconds unread_for{0};
};

/// Names that functions use without a schema, for store::read_names(): what is to be asked.
struct name_questions {
  std::vector<std::string> sorts;  ///< r, f or t for each name.
  std::vector<std::string> names;
};
[[nodiscard]] name_questions questions_about(const std::vector<store::function_facts>& functions);

/// What is wrong with a view.
[[nodiscard]] std::vector<finding> findings_of(const view_case& view, const surroundings& around);

/// What is wrong with a schedule. A cron expression that this host cannot read is left to
/// `unreadable`, as a sentence.
[[nodiscard]] std::vector<finding> findings_of(const store::schedule_facts& schedule,
                                               cron::instant now,
                                               std::vector<std::string>& unreadable);

/// What is wrong with an incremental view beside that: its capture, its logs, its parts.
[[nodiscard]] std::vector<finding> findings_of(const store::incremental_state& view);

/// What is wrong with an incremental view that has no row there. `quoted`: its name for SQL.
[[nodiscard]] finding unknown_to_its_schema(const std::string& quoted);

/// Errors first, then warnings, then notes; by object, then by kind.
void sort_findings(std::vector<finding>& findings);

}  // namespace matview::views
