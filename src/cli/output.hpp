#pragma once

#include "cli/options.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace matview::cli {

/// What a command's own --format says, or, where it says nothing, that before the command: `table`,
/// `json` or `tsv`. Pure.
[[nodiscard]] std::string chosen_format(const std::string& own, output_format before);

/// A column of a table for people.
struct column {
  std::string heading;
  bool right = false;  ///< Numbers stand at the right.
};

/// Rows in the three formats: cells for people, values for programs.
class table final {
 public:
  explicit table(std::vector<column> columns) : columns_(std::move(columns)) {}

  /// `cells`: one for each column. `values`: what JSON shows of it. `plain`: the cells of TSV.
  void add(std::vector<std::string> cells, boost::json::object values,
           std::vector<std::string> plain);

  /// A row that only programs are shown: people read of it on stderr.
  void add_for_programs(boost::json::object values);

  [[nodiscard]] std::string text(output_format format) const;

 private:
  [[nodiscard]] std::string for_people() const;

  std::vector<column> columns_;
  std::vector<std::vector<std::string>> rows_;
  std::vector<std::vector<std::string>> plain_;
  boost::json::array values_;
};

/// One thing and what is known of it.
class record final {
 public:
  /// A line for people and of TSV. Several lines of one name follow each other.
  void add(std::string_view name, std::string_view value);

  /// `values`: all of it, for programs.
  [[nodiscard]] std::string text(output_format format, const boost::json::object& values) const;

 private:
  std::vector<std::pair<std::string, std::string>> lines_;
};

/// Writes results to stdout and makes sure that they got there.
/// @throws error with errc::server_error if not (a full disk), with this hint; a reader that went
///         away is fine.
void write_result(std::string_view text, std::string_view hint = {});

/// The hint of those whose result tells of something that has been done all the same.
inline constexpr std::string_view work_is_done = "the work itself is done";

/// Without control characters: it is part of one line, and nothing in it may act on the terminal.
/// Pure.
[[nodiscard]] std::string on_one_line(std::string text);

/// `12 kB`, `3.4 MB`: as PostgreSQL's pg_size_pretty, in powers of 1024. Pure.
[[nodiscard]] std::string pretty_bytes(std::int64_t bytes);

/// `0.8 ms`, `1.23 s`, `2 min 5 s`. Pure.
[[nodiscard]] std::string pretty_duration(std::chrono::microseconds duration);

/// `12,345`. Pure.
[[nodiscard]] std::string pretty_count(std::int64_t count);

/// RFC 3339 in UTC with milliseconds. Pure.
[[nodiscard]] std::string rfc3339(std::chrono::system_clock::time_point time);

/// The same without a fraction that is zero. Pure.
[[nodiscard]] std::string short_rfc3339(std::chrono::system_clock::time_point time);

/// RFC 3339 in UTC with whole seconds, or nothing for nothing. Pure.
[[nodiscard]] std::string shown_time(
    const std::optional<std::chrono::system_clock::time_point>& time);

/// rfc3339(), or null for nothing. Pure.
[[nodiscard]] boost::json::value time_value(
    const std::optional<std::chrono::system_clock::time_point>& time);

/// The text, or null for an empty one. Pure.
[[nodiscard]] boost::json::value text_value(const std::string& text);

[[nodiscard]] double seconds(std::chrono::microseconds duration);

}  // namespace matview::cli
