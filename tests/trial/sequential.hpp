#pragma once

#include "trial/arena.hpp"
#include "trial/check.hpp"
#include "trial/dml_generator.hpp"
#include "trial/query_generator.hpp"
#include "trial/runtime.hpp"
#include "trial/statistics.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace matview::trial {

/// What the one writer does, or a refresh of all views, each compared with its query.
struct step {
  std::vector<std::string> statements = {};
  std::string refresh_mode = {};  ///< Not empty: no statements, but a refresh.
  bool roll_back = false;         ///< The refresh, after it was compared.
  std::string ddl = {};           ///< As in transaction.
};

/// All of one round, recorded, so that it can be repeated with less.
struct trial_case {
  schema tables = {};
  view_under_trial view = {};
  std::vector<step> steps = {};
};

struct case_result {
  bool valid = true;  ///< The queries are SQL that the server takes.
  std::optional<failure> failed = {};
};

[[nodiscard]] trial_case random_case(dice& choose, const writer_options& writer);

/// In a new schema of the arena. @param seen may be null
case_result run_case(const trial_case& one, arena& in, statistics* seen);

/// The same failure with less: fewer steps, a smaller query, fewer rows.
[[nodiscard]] trial_case shrunk(trial_case one, const failure& how, arena& in,
                                std::chrono::seconds at_most);

/// A script for psql that shows it; the CREATE of the views under trial is a comment.
[[nodiscard]] std::string script(const trial_case& one, const failure& how);

/// Rounds until the time is over, or one fails: then what to print, already shrunk.
std::optional<std::string> run_sequential(const runtime& under_trial, std::chrono::seconds how_long,
                                          std::uint64_t seed, statistics& seen);

}  // namespace matview::trial
