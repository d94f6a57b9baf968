#pragma once

#include "incremental_cells.hpp"
#include "incremental_writers.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace matview::bench {

/// The same number of changed rows in tables of one size after another.
struct size_step {
  long rows;  ///< Of the table that is changed.
  std::vector<cell> cells;
};

/// All that one run has found.
struct findings {
  std::string machine;
  std::string data;
  std::vector<cell> cells;
  std::vector<overhead> overheads;
  std::vector<writing> writers;
  std::vector<std::vector<size_step>> sizes;  ///< For each set of data, smallest first.
  long fixed_rows = 0;                        ///< Changed in each of the sizes.
};

/// Prints tables of ratios, in Markdown, with the goal and `ok` or `MISSED` beside each.
void print_report(const findings& of);

/// Writes a plot for each table into `folder`, which is made if it is not there.
void write_plots(const std::filesystem::path& folder, const findings& of);

}  // namespace matview::bench
