#pragma once

#include <cstddef>
#include <string_view>

namespace matview::text {

/// Whether a character of UTF-8 begins with this byte.
[[nodiscard]] bool starts_character(char byte) noexcept;

/// How many characters the text has. Bytes that are no UTF-8 count like the nearest that would be.
[[nodiscard]] std::size_t characters(std::string_view text) noexcept;

/// Offset of the first byte that makes the text no UTF-8, or npos.
[[nodiscard]] std::size_t invalid_utf8(std::string_view text) noexcept;

}  // namespace matview::text
