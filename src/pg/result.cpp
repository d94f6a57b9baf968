#include "pg/result.hpp"

#include <matview/error.hpp>

#include <charconv>

namespace matview::pg {

bool result::is_null(int row, int column) const noexcept {
  return PQgetisnull(raw_.get(), row, column) == 1;
}

std::string_view result::text(int row, int column) const noexcept {
  return {PQgetvalue(raw_.get(), row, column),
          static_cast<std::size_t>(PQgetlength(raw_.get(), row, column))};
}

std::string result::string(int row, int column) const {
  return std::string(text(row, column));
}

std::int64_t result::integer(int row, int column) const {
  const std::string_view digits = text(row, column);
  std::int64_t value = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (parsed.ec != std::errc{} || parsed.ptr != digits.data() + digits.size()) {
    throw error(errc::server_error, "the server answered with something that is no whole number");
  }
  return value;
}

bool result::boolean(int row, int column) const noexcept {
  return text(row, column) == "t";
}

std::int64_t result::affected() const noexcept {
  const std::string_view digits = PQcmdTuples(raw_.get());
  std::int64_t value = -1;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

}  // namespace matview::pg
