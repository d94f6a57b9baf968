#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace matview::text {

/// A stretch of time through which a zone's clock shows UTC plus one offset.
struct zone_period {
  std::chrono::sys_seconds begin;  ///< Included.
  std::chrono::sys_seconds end;    ///< Not included.
  std::chrono::seconds offset;     ///< Local time minus UTC.
  std::string_view abbreviation;   ///< Lives as long as the zone.
};

/// What a clock shows for some part of the year.
struct posix_clock {
  std::string abbreviation;
  std::chrono::seconds offset{};
};

/// A date and time of each year, of the clock that is shown before it.
struct posix_date_rule {
  enum class kind {
    day_of_common_year,  ///< `Jn`: 1 to 365; February 29 is never counted.
    day_of_year,         ///< `n`: 0 to 365; February 29 is counted.
    weekday_of_month,    ///< `Mm.w.d`: week 5 means the last.
  };
  kind is = kind::weekday_of_month;
  unsigned day = 0;
  unsigned month = 0;
  unsigned week = 0;
  std::chrono::seconds time = std::chrono::hours(2);

  [[nodiscard]] std::chrono::seconds since_epoch(std::chrono::year year) const;
};

struct posix_summer_time {
  posix_clock shows;
  posix_date_rule begins;
  posix_date_rule ends;
};

/// The rule at the end of a TZif file for all years past its table, such as
/// `EST5EDT,M3.2.0,M11.1.0`: the TZ string of POSIX (chapter 8.3) with the extension of RFC 8536
/// (3.3.1), hours from -167 to 167. A value type.
class posix_time_zone final {
 public:
  /// Nothing if `text` is not such a rule.
  [[nodiscard]] static std::optional<posix_time_zone> parse(std::string_view text);

  /// The period that holds `instant`, which lies in the years -10,000 to 20,000. One that never
  /// ends lasts to the limits of that.
  [[nodiscard]] zone_period at(std::chrono::sys_seconds instant) const;

 private:
  friend class posix_rule_reader;

  posix_clock standard_;
  std::optional<posix_summer_time> summer_;
};

/// The first and the last instant of any period; far outside of what schedules are asked for.
inline constexpr std::chrono::sys_seconds earliest_instant =
    std::chrono::sys_days(std::chrono::year(-10'000) / 1 / 1);
inline constexpr std::chrono::sys_seconds latest_instant =
    std::chrono::sys_days(std::chrono::year(20'000) / 1 / 1);

}  // namespace matview::text
