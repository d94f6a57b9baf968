#pragma once

#include <compare>
#include <string>
#include <string_view>

namespace matview {

/// The name of a relation, `view` or `schema.view`, that is safe to put into SQL text.
///
/// There is no way to hold a bad value: each part matches `[A-Za-z_][A-Za-z0-9_]*` and has 1 to 63
/// bytes (PostgreSQL cuts longer names without a word). Case is kept, because the name is always
/// emitted quoted. A value type; safe to share between threads while nobody assigns to it.
class identifier final {
 public:
  /// Reads `text`, all of it: no blanks are trimmed.
  /// @throws error with errc::invalid_identifier, saying which character is refused and why.
  [[nodiscard]] static identifier parse(std::string_view text);

  /// The schema, or an empty text when the name has one part.
  [[nodiscard]] const std::string& schema() const noexcept { return schema_; }

  /// The last part.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  /// As it was written: `sales.daily`.
  [[nodiscard]] std::string text() const;

  /// As it goes into SQL: `"sales"."daily"`.
  [[nodiscard]] std::string quoted() const;

  friend auto operator<=>(const identifier&, const identifier&) = default;

 private:
  identifier(std::string schema, std::string name);

  std::string schema_;
  std::string name_;
};

}  // namespace matview
