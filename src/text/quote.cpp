#include "text/quote.hpp"

#include "text/utf8.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace matview::text {

namespace {

std::size_t byte_offset(std::string_view text, std::size_t position) {
  std::size_t seen = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (starts_character(text[i]) && ++seen == position) return i;
  }
  return text.size();
}

// Long lines (generated SQL) are cut around the fault.
constexpr std::size_t window = 100;

}  // namespace

std::string shown(std::string_view text, std::size_t most) {
  std::string out = "\"";
  for (const char c : text.substr(0, most)) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c < ' ' || c > '~') {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  out += text.size() > most ? "...\"" : "\"";
  return out;
}

std::string sql_literal(std::string_view text) {
  std::string out;
  const bool backslash = text.find('\\') != std::string_view::npos;
  out = backslash ? "E'" : "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += c;
    out += c;
  }
  out += '\'';
  return out;
}

std::string caret_lines(std::string_view text, std::size_t position) {
  const std::size_t at = byte_offset(text, std::max<std::size_t>(position, 1));
  const std::size_t before = at == 0 ? std::string_view::npos : text.rfind('\n', at - 1);
  std::size_t begin = before == std::string_view::npos ? 0 : before + 1;
  std::size_t end = std::min(text.find('\n', at), text.size());
  const auto line_number =
      1 + std::count(text.begin(), text.begin() + static_cast<long>(begin), '\n');
  const bool cut_left = at - begin > window / 2;
  if (cut_left) {
    begin = at - window / 2;
    while (begin < at && !starts_character(text[begin])) ++begin;
  }
  const bool cut_right = end - begin > window;
  if (cut_right) {
    end = begin + window;
    while (end > at && !starts_character(text[end])) --end;
  }
  std::string line(text.substr(begin, end - begin));
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c >= 0 && c < ' '; }, ' ');
  const std::string head = fmt::format("line {}: {}", line_number, cut_left ? "..." : "");
  // Wide characters count as one column, which puts the caret a little to the left after them.
  const std::size_t indent = head.size() + characters(text.substr(begin, at - begin));
  return fmt::format("{}{}{}\n{:>{}}", head, line, cut_right ? "..." : "", '^', indent + 1);
}

}  // namespace matview::text
