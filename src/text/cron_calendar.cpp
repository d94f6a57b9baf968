#include "text/cron_calendar.hpp"

#include <algorithm>
#include <bit>

namespace matview::text {

namespace chrono = std::chrono;

namespace {

constexpr unsigned no_number = 64;

// The least of the set that is at least `from`; no_number if there is none.
unsigned next_in(number_set set, unsigned from) {
  const number_set rest = from < 64 ? set >> from << from : 0;
  return static_cast<unsigned>(std::countr_zero(rest));  // 64 for an empty set
}

number_set up_to(unsigned last) {
  return (number_set{2} << last) - 2;
}

// The days of a month that fall on a weekday: `first` is the earliest of them.
number_set weekly_from(unsigned first) {
  constexpr number_set each_week = 1U | 1U << 7U | 1U << 14U | 1U << 21U | 1U << 28U;
  return each_week << first;
}

unsigned first_on(unsigned weekday, unsigned weekday_of_first) {
  return 1 + (weekday + 7 - weekday_of_first) % 7;
}

number_set on_weekdays(const cron_fields& fields, unsigned weekday_of_first, number_set all) {
  if (!fields.nth_weekday) {
    number_set days = 0;
    for (unsigned weekday = 0; weekday < 7; ++weekday) {
      if (contains(fields.weekdays, weekday)) {
        days |= weekly_from(first_on(weekday, weekday_of_first));
      }
    }
    return days & all;
  }
  const unsigned first = first_on(fields.nth_weekday->weekday, weekday_of_first);
  const number_set days = weekly_from(first) & all;
  const unsigned week = fields.nth_weekday->week;
  if (week == weekday_of_month::last) return std::bit_floor(days);
  return days & number_set{1} << (first + 7 * (week - 1));
}

// The first time of day, at least `from`, that matches.
std::optional<chrono::minutes> first_time(const cron_fields& fields, chrono::minutes from) {
  const auto of_day = static_cast<unsigned>(from.count());
  unsigned hour = next_in(fields.hours, of_day / 60);
  unsigned minute = next_in(fields.minutes, hour == of_day / 60 ? of_day % 60 : 0);
  if (minute == no_number) {
    hour = next_in(fields.hours, hour + 1);
    minute = next_in(fields.minutes, 0);
  }
  if (hour == no_number) return std::nullopt;
  return chrono::hours(hour) + chrono::minutes(minute);
}

}  // namespace

number_set matching_days(const cron_fields& fields, chrono::year_month month) {
  if (!contains(fields.months, static_cast<unsigned>(month.month()))) return 0;
  const auto last = static_cast<unsigned>((month / chrono::last).day());
  const number_set all = up_to(last);
  const unsigned weekday_of_first = chrono::weekday(chrono::sys_days(month / 1)).c_encoding();
  const number_set on_day =
      (fields.days & all) | (fields.last_day ? number_set{1} << last : number_set{0});
  const number_set on_weekday = on_weekdays(fields, weekday_of_first, all);
  return fields.needs_both_days() ? on_day & on_weekday : on_day | on_weekday;
}

std::optional<chrono::local_seconds> first_match(const cron_fields& fields,
                                                 chrono::local_seconds from,
                                                 chrono::local_seconds until) {
  const auto first_minute = chrono::ceil<chrono::minutes>(from);
  const auto first_day = chrono::floor<chrono::days>(first_minute);
  const auto found_on = [&](chrono::local_days date) -> std::optional<chrono::local_seconds> {
    const auto time =
        first_time(fields, date == first_day ? first_minute - first_day : chrono::minutes(0));
    if (!time) return std::nullopt;
    return date + *time;
  };
  const chrono::year_month_day start(first_day);
  auto day = static_cast<unsigned>(start.day());
  for (chrono::year_month month = start.year() / start.month();
       chrono::local_days(month / 1) < until; month += chrono::months(1), day = 1) {
    const number_set days = matching_days(fields, month);
    while ((day = next_in(days, day)) != no_number) {
      if (const auto found = found_on(chrono::local_days(month / chrono::day(day)))) {
        return *found < until ? found : std::nullopt;
      }
      ++day;  // Only on the first day may all times be over.
    }
  }
  return std::nullopt;
}

}  // namespace matview::text
