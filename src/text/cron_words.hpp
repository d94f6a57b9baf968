#pragma once

#include "text/cron_fields.hpp"

#include <string>

namespace matview::text {

/// When it runs, in English, without the time zone: `at 03:30 on Mondays`. Pure.
[[nodiscard]] std::string in_words(const cron_fields& fields);

/// Its days of the month and its days of the week alone: `on day 1 of the month`, `on Mondays`.
/// Pure.
[[nodiscard]] std::string days_of_month_in_words(const cron_fields& fields);
[[nodiscard]] std::string weekdays_in_words(const cron_fields& fields);

}  // namespace matview::text
