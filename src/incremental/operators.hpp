#pragma once

#include "incremental/affected_keys.hpp"
#include "incremental/algebra.hpp"
#include "incremental/program.hpp"

#include <string>
#include <vector>

namespace matview::incremental {

// How each operator of a query is maintained, as explain shows it.

/// The stage that has the rows of a query; see compile.hpp.
enum class stage {
  counted_rows,   ///< Each different row once, with counters.
  kept_groups,    ///< A row of totals for each group.
  replaced_rows,  ///< The rows as they are, by keys.
};

/// What a stage has decided.
struct maintenance {
  stage by = stage::counted_rows;
  std::string mechanism = {};        ///< That of its rows or groups.
  const relation* groups = nullptr;  ///< The operator that makes them, if it is groups.
  std::string groups_because = {};   ///< Why they have it.
  std::string key = {};              ///< Of K and D, as one writes it.
  std::vector<key_path> paths = {};  ///< The same.
};

/// The operators of `whole`, each with what it goes over behind it, one deeper; the subqueries in
/// its expressions come last. Words only.
[[nodiscard]] std::vector<explained_operator> explained_operators(const query_context& in,
                                                                  const relation& whole,
                                                                  const maintenance& how);

}  // namespace matview::incremental
