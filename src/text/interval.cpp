#include "text/quote.hpp"
#include <matview/error.hpp>
#include <matview/interval.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace matview {

namespace {

struct unit {
  std::string_view name;
  std::int64_t microseconds;
};

constexpr std::int64_t second = 1'000'000;
constexpr std::int64_t day = 86'400 * second;

constexpr std::array<unit, 9> units{{
    {"microsecond", 1},
    {"millisecond", 1'000},
    {"second", second},
    {"minute", 60 * second},
    {"hour", 3'600 * second},
    {"day", day},
    {"week", 7 * day},
    {"month", 30 * day},
    {"year", day * 1461 / 4},
}};

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

[[noreturn]] void refuse(std::string_view text, std::string_view why) {
  throw error(
      errc::invalid_interval, fmt::format("{} is not a valid interval: {}", text::shown(text), why),
      {.hint = "write a whole number, a space and a unit (microsecond, millisecond, second, "
               "minute, hour, day, week, month or year), such as \"5 minutes\""});
}

const unit* find_unit(std::string_view word) {
  const auto named = [word](const unit& u) {
    return word == u.name ||
           (word.size() == u.name.size() + 1 && word.starts_with(u.name) && word.ends_with('s'));
  };
  const auto found = std::find_if(units.begin(), units.end(), named);
  return found == units.end() ? nullptr : &*found;
}

}  // namespace

interval::interval(std::string text, std::chrono::microseconds duration)
    : text_(std::move(text)), duration_(duration) {}

interval interval::parse(std::string_view text) {
  std::string_view rest = text;
  while (!rest.empty() && is_blank(rest.front())) rest.remove_prefix(1);
  while (!rest.empty() && is_blank(rest.back())) rest.remove_suffix(1);
  if (rest.empty()) refuse(text, "it is empty");

  const auto digits_end = std::find_if_not(rest.begin(), rest.end(), is_digit);
  const std::string_view digits(rest.begin(), digits_end);
  if (digits.empty()) refuse(text, "it does not begin with a whole number");
  const auto word_begin = std::find_if_not(digits_end, rest.end(), [](char c) { return c == ' '; });
  if (word_begin == rest.end()) refuse(text, "the unit is missing");
  if (word_begin == digits_end) refuse(text, "a space must stand between the number and the unit");

  std::string word(word_begin, rest.end());
  std::transform(word.begin(), word.end(), word.begin(), lower);
  const unit* unit = find_unit(word);
  if (unit == nullptr) refuse(text, fmt::format("{} is not a unit", text::shown(word)));

  std::int64_t count = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), count);
  std::int64_t length = 0;
  if (parsed.ec != std::errc{} || __builtin_mul_overflow(count, unit->microseconds, &length)) {
    refuse(text, "it is too long; the longest is about 292,000 years");
  }
  return {fmt::format("{} {}", count, word), std::chrono::microseconds(length)};
}

}  // namespace matview
