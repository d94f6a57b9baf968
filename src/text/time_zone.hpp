#pragma once

#include "text/posix_time_zone.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace matview::text {

/// A time zone of the IANA database, as it stands in the system's TZif files (RFC 8536).
///
/// Howard Hinnant's date/tz 3.0.1 (Debian 12) does not do: it reads the same files but ignores the
/// rule at their end, so New York has no summer time after 2037 (and after 2007 where the files are
/// of the slim kind); its reader of such rules, date/ptz.h, does not compile as C++20 and refuses
/// the negative hour in that of America/Nuuk.
///
/// Immutable: may be read from any thread.
class time_zone final {
 public:
  /// Reads the zone from $TZDIR or the system's zoneinfo folder. `name` is an IANA name, exactly:
  /// `Europe/Berlin`. The one call of this floor that touches a file.
  /// @throws error with errc::invalid_cron for a name that is unknown or not a name at all (the
  /// hint
  ///         proposes one that is near), or a file that is damaged.
  [[nodiscard]] static time_zone load(std::string_view name);

  /// The same from a file's content. Pure.
  /// @throws error with errc::invalid_cron if the content is damaged.
  [[nodiscard]] static time_zone from_tzif(std::string_view name, std::string_view content);

  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  /// The period that holds `instant`; of the years before -9,000 and after 19,000, the one at the
  /// limit.
  [[nodiscard]] zone_period at(std::chrono::sys_seconds instant) const;

  /// What the zone's clock shows.
  [[nodiscard]] std::chrono::local_seconds local(std::chrono::sys_seconds instant) const;

  /// The first local time that the clock has not shown, or jumped over, by `instant` (included).
  /// After a clock went back this is ahead of what it shows.
  [[nodiscard]] std::chrono::local_seconds unreached(std::chrono::sys_seconds instant) const;

  /// When the zone's clock first shows a local time, or jumps over it.
  struct arrival {
    std::chrono::sys_seconds instant;
    std::chrono::seconds gap{};            ///< How far the clock jumps; zero if the time is shown.
    std::chrono::local_seconds continues;  ///< What the clock shows at `instant`.
  };
  [[nodiscard]] arrival arrives(std::chrono::local_seconds time) const;

 private:
  struct clock {
    std::chrono::seconds offset{};
    std::string abbreviation;
  };
  struct change {
    std::chrono::sys_seconds at;
    std::uint8_t clock = 0;
  };
  friend class tzif_reader;
  time_zone() = default;

  std::string name_;
  std::vector<clock> clocks_;    // The first holds before the first change.
  std::vector<change> changes_;  // Ascending.
  std::optional<posix_time_zone> after_changes_;
};

}  // namespace matview::text
