#pragma once

#include <string_view>

namespace matview::cli {

// US flights of 2001, a part of the binary: examples/flights/README.md says where they are from.

/// CSV with a heading: date,delay,distance,origin,destination; sorted by date.
[[nodiscard]] std::string_view flights_csv() noexcept;

/// CSV with a heading: iata,name,city,state,country,latitude,longitude.
[[nodiscard]] std::string_view airports_csv() noexcept;

/// `csv` cut before the first line whose date is not before `day`: `earlier` keeps the heading,
/// `later` has none. Pure.
struct split_csv {
  std::string_view earlier;
  std::string_view later;
};
[[nodiscard]] split_csv split_at_date(std::string_view csv, std::string_view day) noexcept;

}  // namespace matview::cli
