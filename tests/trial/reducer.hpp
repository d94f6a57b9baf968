#pragma once

#include "trial/query_generator.hpp"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

namespace matview::trial {

/// Makes parts of a failing case small: it takes things away, asks whether the case still fails in
/// the same way, and puts them back where it does not. It knows nothing of SQL; what is no query
/// any more does not fail in the same way.
class reducer final {
 public:
  /// @param still_fails looks at the case of which the things that are made smaller are parts.
  explicit reducer(std::function<bool()> still_fails) : still_fails_(std::move(still_fails)) {}

  /// Halves, quarters, .. of a list.
  template <class T>
  void shrink(std::vector<T>& list) const {
    for (std::size_t chunk = std::max<std::size_t>(list.size() / 2, 1); chunk > 0; chunk /= 2) {
      for (std::size_t at = 0; at < list.size();) {
        const std::vector<T> whole = list;
        const auto begin = list.begin() + static_cast<std::ptrdiff_t>(at);
        const auto end = begin + static_cast<std::ptrdiff_t>(std::min(chunk, list.size() - at));
        list.erase(begin, end);
        if (still_fails_()) continue;
        list = whole;
        at += chunk;
      }
    }
  }

  void shrink(query& of) const;
  void shrink(view_under_trial& view) const;
  /// A table goes with its partitions and rows.
  void drop_tables(schema& of) const;

 private:
  std::function<bool()> still_fails_;
};

}  // namespace matview::trial
