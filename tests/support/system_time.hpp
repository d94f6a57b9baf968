#pragma once

#include <ctime>
#include <string>
#include <vector>

namespace matview::test {

/// The C library's reading of the system's time zones: a witness that shares no code with ours.
/// While one lives, $TZ is its zone; for tests that run in one thread.
class system_zone final {
 public:
  explicit system_zone(const std::string& name);
  ~system_zone();
  system_zone(const system_zone&) = delete;
  system_zone& operator=(const system_zone&) = delete;

  /// The broken-down local time of a Unix time; tm_gmtoff is its offset.
  [[nodiscard]] std::tm local(std::time_t instant) const;
  [[nodiscard]] long offset(std::time_t instant) const { return local(instant).tm_gmtoff; }
};

/// Every zone that zone.tab or zone1970.tab names, and some that neither does.
[[nodiscard]] const std::vector<std::string>& system_zone_names();

/// The Unix time at which January 1 of the year begins in UTC.
[[nodiscard]] std::time_t begin_of_year(int year);

}  // namespace matview::test
