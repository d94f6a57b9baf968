#pragma once

#include "store/sources.hpp"

#include <optional>
#include <string>

namespace matview::views {

/// Whether a view that was made from `then` may differ if it were made from `now`.
struct source_verdict {
  bool unchanged = false;  ///< Certain, as far as the server's counters are up to date.
  bool known = true;       ///< If not unchanged: whether a change was seen, rather than feared.
  std::string reason;      ///< A sentence, either way.
};

/// `then` is what was remembered, as JSON; empty for nothing. Pure.
[[nodiscard]] source_verdict compare_sources(std::string_view then, const store::view_sources& now);

}  // namespace matview::views
