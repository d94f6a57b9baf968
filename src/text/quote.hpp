#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace matview::text {

/// `text` between double quotes for an error message: control characters, quotes and bytes outside
/// ASCII escaped, cut after `most` bytes. Not for SQL.
[[nodiscard]] std::string shown(std::string_view text, std::size_t most = 80);

/// `text` as an SQL string literal that means the same whatever standard_conforming_strings says.
/// For the few places where the grammar takes no bound value (COMMENT, SET).
[[nodiscard]] std::string sql_literal(std::string_view text);

/// One line of the text with a caret under `position` (1-based, in characters of UTF-8):
///
///     line 2: SELECT * FORM t
///                      ^
[[nodiscard]] std::string caret_lines(std::string_view text, std::size_t position);

}  // namespace matview::text
