#pragma once

#include "tasks_measures.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace matview::bench {

/// What was measured of the queue and beside it, in the order in which it came.
class tasks_report final {
 public:
  void add(const std::string& measure, const std::string& system, const std::string& unit,
           double value);

  void print_rows() const;

  /// Prints each goal beside what it is measured by, `ok` or `MISSED`.
  void print_goals() const;

 private:
  [[nodiscard]] const series* find(const std::string& measure, const std::string& system) const;

  std::vector<series> all_;
};

}  // namespace matview::bench
