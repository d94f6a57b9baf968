#include "tasks/values.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <string_view>
#include <utility>

namespace matview::tasks {

std::optional<std::chrono::system_clock::time_point> time_at(const pg::result& from, int row,
                                                             int column) {
  if (from.is_null(row, column)) return std::nullopt;
  return std::chrono::system_clock::time_point(
      std::chrono::microseconds(from.integer(row, column)));
}

std::optional<interval> interval_at(const pg::result& from, int row, int column) {
  if (from.is_null(row, column)) return std::nullopt;
  using unit = std::pair<std::int64_t, std::string_view>;
  constexpr std::array units{unit(86'400'000'000, "day"), unit(3'600'000'000, "hour"),
                             unit(60'000'000, "minute"),  unit(1'000'000, "second"),
                             unit(1'000, "millisecond"),  unit(1, "microsecond")};
  const std::int64_t length = from.integer(row, column);
  for (const auto& [size, name] : units) {
    if (length % size != 0) continue;
    return interval::parse(fmt::format("{} {}{}", length / size, name, length == size ? "" : "s"));
  }
  return std::nullopt;  // Not reached: a microsecond divides everything.
}

pg::parameter seconds_parameter(const std::optional<interval>& value) {
  if (!value) return std::nullopt;
  return fmt::format("{:.6f}", std::chrono::duration<double>(value->to_duration()).count());
}

std::optional<double> number_at(const pg::result& from, int row, int column) {
  if (from.is_null(row, column)) return std::nullopt;
  const std::string_view text = from.text(row, column);
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace matview::tasks
