#pragma once

#include <matview/error.hpp>

#include <string>
#include <string_view>

namespace matview::text {

/// A query that may define a view: exactly one SELECT, VALUES, TABLE or WITH query.
///
/// There is no way to hold anything else, so it may be put behind `CREATE MATERIALIZED VIEW ...
/// AS`. The check is PostgreSQL's own parser (libpg_query); names and types are the server's
/// business.
class select_query final {
 public:
  /// Reads `sql`; one trailing semicolon and comments are fine.
  /// @throws error with errc::invalid_select, the position of the fault and the line with a caret,
  ///         for a syntax error, several statements, anything but a query, data-modifying WITH,
  ///         SELECT INTO, a `$1` placeholder, an empty text, or a NUL byte.
  [[nodiscard]] static select_query parse(std::string_view sql);

  /// The query as it was written, up to its semicolon. It may end with a `--` comment, so a line
  /// break must follow it in a larger statement.
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  explicit select_query(std::string text);

  std::string text_;
};

/// `message` with the line of `sql` that `position` (1-based, in characters) is in and a caret.
[[nodiscard]] std::string with_caret(std::string_view message, std::string_view sql,
                                     std::size_t position);

}  // namespace matview::text
