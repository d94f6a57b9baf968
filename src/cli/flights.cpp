#include "cli/flights.hpp"

// The assembler takes the files in as they are; the build names them.
// NOLINTNEXTLINE(hicpp-no-assembler)
asm(R"(
  .section .rodata
  .global matview_flights_begin
  .global matview_flights_end
  .global matview_airports_begin
  .global matview_airports_end
matview_flights_begin:
  .incbin ")" MATVIEW_FLIGHTS_FOLDER R"(/flights.csv"
matview_flights_end:
matview_airports_begin:
  .incbin ")" MATVIEW_FLIGHTS_FOLDER R"(/airports.csv"
matview_airports_end:
  .byte 0
  .text
)");

extern "C" {
extern const char matview_flights_begin[];
extern const char matview_flights_end[];
extern const char matview_airports_begin[];
extern const char matview_airports_end[];
}

namespace matview::cli {

std::string_view flights_csv() noexcept {
  return {matview_flights_begin, matview_flights_end};
}

std::string_view airports_csv() noexcept {
  return {matview_airports_begin, matview_airports_end};
}

split_csv split_at_date(std::string_view csv, std::string_view day) noexcept {
  std::size_t line = csv.find('\n') + 1;
  while (line < csv.size() && csv.substr(line, day.size()) < day) {
    const std::size_t end = csv.find('\n', line);
    line = end == std::string_view::npos ? csv.size() : end + 1;
  }
  return {csv.substr(0, line), csv.substr(line)};
}

}  // namespace matview::cli
