#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace matview {

/// A length of time as a person writes it, `5 minutes`, that is safe to put into SQL text.
///
/// There is no way to hold a bad value: the text is `<digits><spaces><unit>` with a unit from
/// microsecond to year, singular or plural, in any case. A value type.
class interval final {
 public:
  /// Reads `text`, all of it; blanks (spaces, tabs) around it are trimmed.
  /// @throws error with errc::invalid_interval for anything else, and for a value whose length in
  ///         microseconds does not fit 64 bits.
  [[nodiscard]] static interval parse(std::string_view text);

  /// The normal form, one space and lower case: `5 minutes`. PostgreSQL reads it as an interval.
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

  /// Its length. A month counts 30 days and a year 365.25, as in PostgreSQL's
  /// `extract(epoch from ...)`.
  [[nodiscard]] std::chrono::microseconds to_duration() const noexcept { return duration_; }

  /// Orders by length: `60 seconds` and `1 minute` are equivalent.
  friend std::strong_ordering operator<=>(const interval& a, const interval& b) noexcept {
    return a.duration_ <=> b.duration_;
  }
  friend bool operator==(const interval& a, const interval& b) noexcept {
    return a.duration_ == b.duration_;
  }

 private:
  interval(std::string text, std::chrono::microseconds duration);

  std::string text_;
  std::chrono::microseconds duration_;
};

}  // namespace matview
