#pragma once

#include "memory.hpp"
#include "scenarios.hpp"

#include <string>
#include <vector>

namespace matview::bench {

/// Prints what was measured as rows of Google Benchmark, also into its --benchmark_out file. The
/// rows of one comparison were measured together, so nothing is run again: each iteration of a row
/// is one round. Time is per refresh; CPU is this process's own, client side.
void print_rows(const std::vector<comparison>& comparisons);

/// Prints the ratios beside the goals, `ok` or `MISSED`.
void print_summary(const std::vector<comparison>& comparisons, const memory_use& memory,
                   const std::string& machine);

}  // namespace matview::bench
