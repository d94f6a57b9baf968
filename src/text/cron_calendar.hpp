#pragma once

#include "text/cron_fields.hpp"

#include <chrono>
#include <optional>

namespace matview::text {

/// The days of the month (1 to 31) on which it runs. Pure.
[[nodiscard]] number_set matching_days(const cron_fields& fields, std::chrono::year_month month);

/// The first local time that matches, not before `from` and before `until`, as if there were no
/// time zones. Steps over months and days, not over minutes. Pure.
[[nodiscard]] std::optional<std::chrono::local_seconds> first_match(
    const cron_fields& fields, std::chrono::local_seconds from, std::chrono::local_seconds until);

}  // namespace matview::text
