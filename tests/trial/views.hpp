#pragma once

#include "trial/check.hpp"
#include "trial/query_generator.hpp"
#include "trial/runtime.hpp"

#include <optional>
#include <string>
#include <vector>

namespace matview::trial {

/// What came of the attempt to create a view with all that is underneath.
struct made_views {
  verdict queries = verdict::good;            ///< Another: something of it is not there.
  std::vector<std::string> incremental = {};  ///< The names, each with its reference beside it.
  std::optional<creation> of_the_view = {};   ///< None: it did not come to that.
  std::optional<failure> failed = {};
};

/// Creates `view` through the runtime; what is refused underneath becomes a native materialized
/// view.
/// @param prefix of the views' names, as "schema."
made_views make_views(const runtime& under_trial, const std::string& url, connection& on,
                      const view_under_trial& view, const std::string& prefix = {});

}  // namespace matview::trial
