#pragma once

#include "pg/connection.hpp"
#include "pg/result.hpp"
#include <matview/interval.hpp>

#include <chrono>
#include <optional>

namespace matview::tasks {

// How the store's statements write times and lengths of time: microseconds since 1970, and
// microseconds or, as a parameter, seconds.

/// Nothing for NULL.
[[nodiscard]] std::optional<std::chrono::system_clock::time_point> time_at(const pg::result& from,
                                                                           int row, int column);

/// Nothing for NULL. In the largest unit that it is a whole number of.
[[nodiscard]] std::optional<interval> interval_at(const pg::result& from, int row, int column);

/// NULL for nothing.
[[nodiscard]] pg::parameter seconds_parameter(const std::optional<interval>& value);

/// A double precision; nothing for NULL.
[[nodiscard]] std::optional<double> number_at(const pg::result& from, int row, int column);

}  // namespace matview::tasks
