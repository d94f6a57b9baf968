#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

// Plots as SVG files, without a library. Their colours follow the reader's light or dark scheme.

namespace matview::bench {

struct plot_line {
  std::string name;
  std::vector<std::pair<double, double>> points;  ///< Those that are not above 0 are left out.
};

/// Lines on two logarithmic axes, with a legend beside.
struct line_plot {
  std::string title;
  std::string x_label;
  std::string y_label;
  std::vector<plot_line> lines;
  double mark = 0;  ///< A dashed line across at this height, if above 0.
};

struct plot_bar {
  std::string name;
  double value;
};

/// Bars from the left, one below the other, each with its number.
struct bar_plot {
  std::string title;
  std::string x_label;
  std::vector<plot_bar> bars;
  double mark = 0;  ///< A dashed line down at this value, if above 0.
};

/// @throws std::runtime_error if the file cannot be written.
void write_plot(const std::filesystem::path& file, const line_plot& what);
void write_plot(const std::filesystem::path& file, const bar_plot& what);

}  // namespace matview::bench
