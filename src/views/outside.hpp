#pragma once

#include <matview/report.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace matview::views {

/// What somebody else has done to a view since our last refresh of it.
struct outside_change {
  bool refreshed = false;  ///< Else only altered: rights, owner, options.
  refresh_mode mode = refresh_mode::none;
  std::string reason;  ///< What it was seen by, as a sentence.
};

/// Compares a view's row of pg_class as store::recall() gives it, then and now. Nothing if nobody
/// touched it, or if either is not known. Pure.
[[nodiscard]] std::optional<outside_change> seen_outside(std::string_view then,
                                                         std::string_view now);

}  // namespace matview::views
