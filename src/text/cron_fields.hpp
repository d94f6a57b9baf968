#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace matview::text {

/// A set of small numbers: bit n is set if n is in it.
using number_set = std::uint64_t;

[[nodiscard]] constexpr bool contains(number_set set, unsigned number) {
  return (set >> number & 1U) != 0;
}

inline constexpr number_set all_minutes = (number_set{1} << 60U) - 1;
inline constexpr number_set all_hours = (number_set{1} << 24U) - 1;
inline constexpr number_set all_days = (number_set{1} << 32U) - 2;
inline constexpr number_set all_months = (number_set{1} << 13U) - 2;
inline constexpr number_set all_weekdays = (number_set{1} << 7U) - 1;

/// `MON#2`, `FRIL`.
struct weekday_of_month {
  unsigned weekday = 0;  ///< 0 is Sunday.
  unsigned week = 0;     ///< 1 to 5, or `last`.
  static constexpr unsigned last = 0;
};

/// A cron expression, read: which values each of its fields takes. Plain data.
struct cron_fields {
  std::string text;         ///< As written, one space between the fields.
  number_set minutes = 0;   ///< 0 to 59.
  number_set hours = 0;     ///< 0 to 23.
  number_set days = 0;      ///< 1 to 31.
  bool last_day = false;    ///< `L` is among the days.
  number_set months = 0;    ///< 1 to 12.
  number_set weekdays = 0;  ///< 0 to 6; empty if there is a `nth_weekday`.
  std::optional<weekday_of_month> nth_weekday;

  // Whether the field begins with `*`; Vixie's cron decides by that, not by what the field holds.
  bool star_minute = false;
  bool star_hour = false;
  bool star_day = false;
  bool star_weekday = false;

  /// Whether the field says more than `*`.
  [[nodiscard]] bool restricts_days() const noexcept { return !star_day || days != all_days; }
  [[nodiscard]] bool restricts_weekdays() const noexcept {
    return !star_weekday || weekdays != all_weekdays;
  }

  /// Whether a day has to match both the day of month and the day of week, and not either of them.
  [[nodiscard]] bool needs_both_days() const noexcept { return star_day || star_weekday; }

  /// Whether it runs once for each local time that it names, whatever summer time does.
  [[nodiscard]] bool names_local_times() const noexcept { return !star_minute && !star_hour; }
};

/// Pure.
/// @throws error with errc::invalid_cron, a position and a hint, for what does not follow the rules
///         of matview::cron and for what never happens.
[[nodiscard]] cron_fields parse_cron_fields(std::string_view expression);

}  // namespace matview::text
