#pragma once

#include <matview/error.hpp>

#include <libpq-fe.h>

#include <string>
#include <string_view>

namespace matview::pg {

/// What a SQLSTATE means as long as nothing is known of the statement. Pure.
[[nodiscard]] errc code_of(std::string_view sqlstate) noexcept;

/// What to do about a SQLSTATE whatever the statement was, or an empty text. Pure.
[[nodiscard]] std::string_view hint_for(std::string_view sqlstate) noexcept;

/// The error that a failed result stands for: message with DETAIL, the server's HINT or ours, and
/// the position in the statement. `connection_usable` as given.
[[nodiscard]] error error_of(const PGresult* failed, bool connection_usable);

/// `text` as one line: line breaks and the blanks around them become one space.
[[nodiscard]] std::string one_line(std::string_view text);

}  // namespace matview::pg
