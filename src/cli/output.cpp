#include "cli/output.hpp"

#include "text/rfc3339.hpp"
#include "text/utf8.hpp"
#include <matview/error.hpp>

#include <boost/json/serialize.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace matview::cli {

namespace {

std::string padded(std::string_view cell, std::size_t size, bool right) {
  const std::string blanks(size - std::min(size, text::characters(cell)), ' ');
  return right ? blanks + std::string(cell) : std::string(cell) + blanks;
}

void append_line(std::string& out, std::string line) {
  while (!line.empty() && line.back() == ' ') line.pop_back();
  out += line + '\n';
}

std::string escaped_for_tsv(std::string_view cell) {
  std::string out;
  for (const char c : cell) {
    switch (c) {
      case '\t':
        out += "\\t";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\\':
        out += "\\\\";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace

std::string chosen_format(const std::string& own, output_format before) {
  if (!own.empty()) return own;
  switch (before) {
    case output_format::json:
      return "json";
    case output_format::tsv:
      return "tsv";
    case output_format::table:
      break;
  }
  return "table";
}

std::string on_one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(),
      [](char c) { return (static_cast<unsigned char>(c) < ' ') || c == 0x7f; }, ' ');
  return text;
}

void table::add(std::vector<std::string> cells, boost::json::object values,
                std::vector<std::string> plain) {
  for (std::string& cell : cells) cell = on_one_line(std::move(cell));
  rows_.push_back(std::move(cells));
  values_.emplace_back(std::move(values));
  plain_.push_back(std::move(plain));
}

void table::add_for_programs(boost::json::object values) {
  values_.emplace_back(std::move(values));
}

std::string table::text(output_format format) const {
  if (format == output_format::json) return boost::json::serialize(values_) + "\n";
  if (format == output_format::table) return for_people();
  std::string out;
  for (const auto& row : plain_) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      out += (i == 0 ? "" : "\t") + escaped_for_tsv(row[i]);
    }
    out += '\n';
  }
  return out;
}

std::string table::for_people() const {
  if (rows_.empty()) return {};
  std::vector<std::size_t> sizes;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t size = text::characters(columns_[i].heading);
    for (const auto& row : rows_) size = std::max(size, text::characters(row[i]));
    sizes.push_back(size);
  }
  std::string out;
  std::string line;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    line += (i == 0 ? "" : "  ") + padded(columns_[i].heading, sizes[i], columns_[i].right);
  }
  append_line(out, line);
  for (const auto& row : rows_) {
    line.clear();
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      line += (i == 0 ? "" : "  ") + padded(row[i], sizes[i], columns_[i].right);
    }
    append_line(out, line);
  }
  return out;
}

void record::add(std::string_view name, std::string_view value) {
  lines_.emplace_back(name, value);
}

std::string record::text(output_format format, const boost::json::object& values) const {
  if (format == output_format::json) return boost::json::serialize(values) + '\n';
  std::size_t widest = 0;
  for (const auto& [name, value] : lines_) widest = std::max(widest, text::characters(name));
  std::string out;
  for (const auto& [name, value] : lines_) {
    if (format == output_format::tsv) {
      out += name + '\t' + escaped_for_tsv(value) + '\n';
    } else {
      append_line(out, padded(name, widest, false) + "  " + on_one_line(value));
    }
  }
  return out;
}

void write_result(std::string_view text, std::string_view hint) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EPIPE) {
      return;  // The reader (head, a pager) has seen enough. SIGPIPE is ignored.
    } else if (errno != EINTR) {
      throw error(errc::server_error,
                  fmt::format("the result could not be written: {}", std::strerror(errno)),
                  {.hint = std::string(hint)});
    }
  }
}

std::string pretty_bytes(std::int64_t bytes) {
  constexpr std::array<std::string_view, 5> units{"bytes", "kB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  const bool whole = unit < 2 || value >= 100;
  return fmt::format("{:.{}f} {}", value, whole ? 0 : 1, units[unit]);
}

std::string pretty_duration(std::chrono::microseconds duration) {
  const double s = seconds(duration);
  if (s < 0.9995) return fmt::format("{:.1f} ms", s * 1000);
  if (s < 120) return fmt::format("{:.2f} s", s);
  const auto whole = static_cast<std::int64_t>(s);
  if (whole < 7200) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

std::string pretty_count(std::int64_t count) {
  std::string digits = fmt::format("{}", count);
  for (auto at = static_cast<std::int64_t>(digits.size()) - 3; at > (count < 0 ? 1 : 0); at -= 3) {
    digits.insert(static_cast<std::size_t>(at), ",");
  }
  return digits;
}

std::string rfc3339(std::chrono::system_clock::time_point time) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(time);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time - whole).count();
  std::string out = text::to_rfc3339(whole);
  return out.insert(out.size() - 1, fmt::format(".{:03}", ms));  // Before the Z.
}

std::string short_rfc3339(std::chrono::system_clock::time_point time) {
  std::string out = rfc3339(time);
  constexpr std::string_view no_fraction = ".000Z";
  if (out.ends_with(no_fraction)) out.replace(out.size() - no_fraction.size(), 5, "Z");
  return out;
}

std::string shown_time(const std::optional<std::chrono::system_clock::time_point>& time) {
  return time ? text::to_rfc3339(std::chrono::floor<std::chrono::seconds>(*time)) : "";
}

boost::json::value time_value(const std::optional<std::chrono::system_clock::time_point>& time) {
  return time ? boost::json::value(rfc3339(*time)) : boost::json::value();
}

boost::json::value text_value(const std::string& text) {
  return text.empty() ? boost::json::value() : boost::json::value(text);
}

double seconds(std::chrono::microseconds duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace matview::cli
