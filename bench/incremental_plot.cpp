#include "incremental_plot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string_view>

namespace matview::bench {

namespace {

// Told apart by shade as well as by hue, and all of them readable on white and on near-black.
constexpr std::array colours{"#3b7dd8", "#e07b00", "#2a9d5c", "#d1495b", "#8e6bd1",
                             "#8c6d46", "#d966ae", "#7d7d7d", "#1b9aaa"};
// The shapes of the points, for those who do not see the colours.
constexpr std::array shapes{"circle", "square", "diamond", "triangle"};

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string tick(double value) {
  if (value >= 1e6) return fmt::format("{:g}M", value / 1e6);
  return value >= 1e4 ? fmt::format("{:g}k", value / 1e3) : fmt::format("{:g}", value);
}

std::string head(int width, int height, const std::string& title) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" role=\"img\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n"
      "<title>{2}</title>\n<style>\n"
      ".back {{ fill: #ffffff }} text {{ fill: #222222 }}\n"
      ".axis {{ stroke: #444444; fill: none }} .grid {{ stroke: #dddddd; fill: none }}\n"
      ".mark {{ stroke: #444444; fill: none; stroke-dasharray: 6 4 }}\n"
      "@media (prefers-color-scheme: dark) {{\n"
      ".back {{ fill: #16181d }} text {{ fill: #e6e6e6 }}\n"
      ".axis {{ stroke: #bbbbbb }} .grid {{ stroke: #353941 }} .mark {{ stroke: #dddddd }}\n"
      "}}\n</style>\n<rect class=\"back\" width=\"{0}\" height=\"{1}\"/>\n"
      "<text x=\"{3}\" y=\"24\" font-size=\"15\" font-weight=\"600\" "
      "text-anchor=\"middle\">{2}</text>\n",
      width, height, escaped(title), width / 2);
}

std::string point(std::size_t nth, double x, double y) {
  const std::string_view colour = colours[nth % colours.size()];
  const std::string_view shape = shapes[nth % shapes.size()];
  if (shape == "circle")
    return fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\" fill=\"{}\"/>\n", x, y,
                       colour);
  std::string path;
  if (shape == "square") path = fmt::format("M{:.1f} {:.1f}h6v6h-6z", x - 3, y - 3);
  if (shape == "diamond")
    path = fmt::format("M{:.1f} {:.1f}l4.5 4.5l-4.5 4.5l-4.5 -4.5z", x, y - 4.5);
  if (shape == "triangle") path = fmt::format("M{:.1f} {:.1f}l4.2 7.5h-8.4z", x, y - 4.5);
  return fmt::format("<path d=\"{}\" fill=\"{}\"/>\n", path, colour);
}

// A logarithmic axis from a whole power of ten to another.
class log_axis final {
 public:
  log_axis(double least, double most, double from, double to)
      : low_(std::floor(std::log10(least) + 1e-9)),
        high_(std::max(low_ + 1, std::ceil(std::log10(most) - 1e-9))),
        from_(from),
        to_(to) {}
  [[nodiscard]] double at(double value) const {
    return from_ + (std::log10(value) - low_) / (high_ - low_) * (to_ - from_);
  }
  [[nodiscard]] std::vector<double> ticks() const {
    std::vector<double> out;
    for (double power = low_; power <= high_; ++power) out.push_back(std::pow(10.0, power));
    return out;
  }

 private:
  double low_;
  double high_;
  double from_;
  double to_;
};

void write(const std::filesystem::path& file, const std::string& text) {
  std::ofstream out(file);
  out << text << "</svg>\n";
  if (!out.flush()) throw std::runtime_error(file.string() + " cannot be written");
}

}  // namespace

void write_plot(const std::filesystem::path& file, const line_plot& what) {
  constexpr int width = 760;
  constexpr int height = 440;
  constexpr double left = 70;
  constexpr double right = 610;
  constexpr double top = 44;
  constexpr double bottom = 385;
  double least_x = 1e300;
  double most_x = 0;
  double least_y = what.mark > 0 ? what.mark : 1e300;
  double most_y = what.mark;
  for (const plot_line& line : what.lines) {
    for (const auto& [x, y] : line.points) {
      if (x <= 0 || y <= 0) continue;
      least_x = std::min(least_x, x);
      most_x = std::max(most_x, x);
      least_y = std::min(least_y, y);
      most_y = std::max(most_y, y);
    }
  }
  if (most_x <= 0) return;
  const log_axis across(least_x, most_x, left, right);
  const log_axis up(least_y, most_y, bottom, top);
  std::string out = head(width, height, what.title);
  for (const double x : across.ticks()) {
    out += fmt::format(
        "<path class=\"grid\" d=\"M{0:.1f} {1}V{2}\"/><text x=\"{0:.1f}\" y=\"{3}\" "
        "text-anchor=\"middle\">{4}</text>\n",
        across.at(x), top, bottom, bottom + 18, tick(x));
  }
  for (const double y : up.ticks()) {
    out += fmt::format(
        "<path class=\"grid\" d=\"M{0} {1:.1f}H{2}\"/><text x=\"{3}\" y=\"{4:.1f}\" "
        "text-anchor=\"end\">{5}</text>\n",
        left, up.at(y), right, left - 8, up.at(y) + 4, tick(y));
  }
  out += fmt::format("<path class=\"axis\" d=\"M{0} {1}V{2}H{3}\"/>\n", left, top, bottom, right);
  if (what.mark > 0) {
    out += fmt::format("<path class=\"mark\" d=\"M{0} {1:.1f}H{2}\"/>\n", left, up.at(what.mark),
                       right);
  }
  out += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                     (left + right) / 2, bottom + 40, escaped(what.x_label));
  out += fmt::format(
      "<text transform=\"translate(18 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
      (top + bottom) / 2, escaped(what.y_label));
  for (std::size_t i = 0; i < what.lines.size(); ++i) {
    std::string path;
    std::string points;
    for (const auto& [x, y] : what.lines[i].points) {
      if (x <= 0 || y <= 0) continue;
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", across.at(x), up.at(y));
      points += point(i, across.at(x), up.at(y));
    }
    out += fmt::format("<path d=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n{}", path,
                       colours[i % colours.size()], points);
    const double y = top + 10 + 20 * static_cast<double>(i);
    out += point(i, right + 24, y);
    out += fmt::format("<text x=\"{}\" y=\"{:.1f}\">{}</text>\n", right + 36, y + 4,
                       escaped(what.lines[i].name));
  }
  write(file, out);
}

void write_plot(const std::filesystem::path& file, const bar_plot& what) {
  constexpr int width = 760;
  constexpr double left = 240;
  constexpr double right = 690;
  constexpr double top = 44;
  constexpr double step = 28;
  if (what.bars.empty()) return;
  double most = what.mark;
  for (const plot_bar& bar : what.bars) most = std::max(most, bar.value);
  if (most <= 0) return;
  const double bottom = top + step * static_cast<double>(what.bars.size());
  const auto at = [&](double value) { return left + value / most * (right - left); };
  std::string out = head(width, static_cast<int>(bottom) + 50, what.title);
  for (std::size_t i = 0; i < what.bars.size(); ++i) {
    const double y = top + step * static_cast<double>(i);
    const plot_bar& bar = what.bars[i];
    out += fmt::format(
        "<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>"
        "<rect x=\"{}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"18\" fill=\"{}\"/>"
        "<text x=\"{:.1f}\" y=\"{:.1f}\">{:.2f}</text>\n",
        left - 8, y + 17, escaped(bar.name), left, y + 4, std::max(0.0, at(bar.value) - left),
        colours[0], at(bar.value) + 6, y + 17, bar.value);
  }
  out += fmt::format("<path class=\"axis\" d=\"M{0} {1}V{2}H{3}\"/>\n", left, top, bottom, right);
  if (what.mark > 0) {
    out +=
        fmt::format("<path class=\"mark\" d=\"M{0:.1f} {1}V{2}\"/>\n", at(what.mark), top, bottom);
  }
  out += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                     (left + right) / 2, bottom + 28, escaped(what.x_label));
  write(file, out);
}

}  // namespace matview::bench
