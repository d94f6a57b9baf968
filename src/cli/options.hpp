#pragma once

#include <matview/interval.hpp>

#include <optional>
#include <string>

namespace matview::cli {

enum class output_format {
  table,  ///< For people.
  json,   ///< One JSON value, keys in snake_case.
  tsv,    ///< A line each, columns between tabs, no heading.
};

/// What every command understands. Plain data, filled by the parser.
struct global_options {
  std::string database = "default";
  std::string url;
  std::string config;
  output_format format = output_format::table;
  bool quiet = false;
  bool verbose = false;
  bool no_color = false;
};

/// The timeouts that create, refresh and drop take, as they were written.
struct timeout_options {
  std::string statement_timeout;
  std::string lock_timeout;
};

/// Nothing for an empty text. @throws error with errc::invalid_interval.
[[nodiscard]] inline std::optional<interval> optional_interval(const std::string& text) {
  if (text.empty()) return std::nullopt;
  return interval::parse(text);
}

}  // namespace matview::cli
