#include "text/cron_words.hpp"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <functional>
#include <string_view>
#include <vector>

namespace matview::text {

namespace {

// More times of day than these are told as minutes of hours.
constexpr int most_times = 6;

constexpr std::array<std::string_view, 13> months{
    "",     "January", "February",  "March",   "April",    "May",     "June",
    "July", "August",  "September", "October", "November", "December"};
constexpr std::array<std::string_view, 7> weekdays{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                   "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 6> ordinals{"last",  "first",  "second",
                                                   "third", "fourth", "fifth"};

// "a", "a and b", "a, b and c"
std::string enumerated(const std::vector<std::string>& items) {
  std::string out;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += i + 1 == items.size() ? " and " : ", ";
    out += items[i];
  }
  return out;
}

struct run {
  unsigned first;
  unsigned last;
};

// The set as runs of numbers that follow each other; two neighbours are no run.
std::vector<run> runs(number_set set) {
  std::vector<run> out;
  while (set != 0) {
    const auto first = static_cast<unsigned>(std::countr_zero(set));
    const auto length = static_cast<unsigned>(std::countr_one(set >> first));
    if (length > 2) {
      out.push_back({first, first + length - 1});
    } else {
      for (unsigned i = 0; i < length; ++i) out.push_back({first + i, first + i});
    }
    set &= ~(((number_set{1} << length) - 1) << first);
  }
  return out;
}

std::string in_runs(number_set set, const std::function<std::string(unsigned)>& name) {
  std::vector<std::string> items;
  for (const auto& [first, last] : runs(set)) {
    items.push_back(first == last ? name(first) : fmt::format("{} to {}", name(first), name(last)));
  }
  return enumerated(items);
}

std::string number(unsigned value) {
  return fmt::format("{}", value);
}

std::string plural(number_set set, std::string_view word) {
  return fmt::format("{}{}", word, std::popcount(set) == 1 ? "" : "s");
}

// N if the set is every Nth value of the field from 0 on, with no odd rest at its end; else 0.
unsigned even_step(number_set set, unsigned field_size) {
  for (unsigned step = 2; step < field_size; ++step) {
    number_set every = 0;
    for (unsigned value = 0; value < field_size; value += step) every |= number_set{1} << value;
    if (set == every) return field_size % step == 0 ? step : 0;
  }
  return 0;
}

std::string times_of_day(const cron_fields& fields) {
  std::vector<std::string> times;
  for (unsigned hour = 0; hour < 24; ++hour) {
    for (unsigned minute = 0; minute < 60; ++minute) {
      if (contains(fields.hours, hour) && contains(fields.minutes, minute)) {
        times.push_back(fmt::format("{:02}:{:02}", hour, minute));
      }
    }
  }
  return "at " + enumerated(times);
}

std::string minutes_in_words(const cron_fields& fields) {
  if (fields.minutes == all_minutes) return "every minute";
  if (const unsigned step = even_step(fields.minutes, 60); step > 0) {
    return fmt::format("every {} minutes", step);
  }
  return fmt::format("at {} {}", plural(fields.minutes, "minute"), in_runs(fields.minutes, number));
}

std::string hours_in_words(const cron_fields& fields) {
  const bool stepping = fields.minutes == all_minutes || even_step(fields.minutes, 60) > 0;
  if (fields.hours == all_hours) return stepping ? "" : " of every hour";
  if (const unsigned step = even_step(fields.hours, 24); step > 0) {
    return fmt::format(" of every {}{} hour", step, step == 2 ? "nd" : step == 3 ? "rd" : "th");
  }
  return fmt::format(" of {} {}", plural(fields.hours, "hour"), in_runs(fields.hours, number));
}

bool tells_times_of_day(const cron_fields& fields) {
  return std::popcount(fields.minutes) * std::popcount(fields.hours) <= most_times;
}

std::string time_in_words(const cron_fields& fields) {
  if (tells_times_of_day(fields)) return times_of_day(fields);
  return minutes_in_words(fields) + hours_in_words(fields);
}

std::string days_in_words(const cron_fields& fields) {
  const bool any_day = fields.days == all_days;
  const bool any_weekday = fields.weekdays == all_weekdays;
  if (fields.needs_both_days()) {
    if (any_day && any_weekday) return "";
    if (any_weekday) return days_of_month_in_words(fields);
    if (any_day) return weekdays_in_words(fields);
    return fmt::format("{} and also {} (both)", days_of_month_in_words(fields),
                       weekdays_in_words(fields));
  }
  if (any_day || any_weekday) return "";
  return fmt::format("{} and {} (either)", weekdays_in_words(fields),
                     days_of_month_in_words(fields));
}

}  // namespace

std::string days_of_month_in_words(const cron_fields& fields) {
  if (fields.days == all_days) return "on every day of the month";
  std::string out = "on ";
  if (fields.days != 0) {
    out += fmt::format("{} {}", plural(fields.days, "day"), in_runs(fields.days, number));
  }
  if (fields.last_day) out += fields.days != 0 ? " and the last day" : "the last day";
  return out + " of the month";
}

std::string weekdays_in_words(const cron_fields& fields) {
  if (fields.nth_weekday) {
    return fmt::format("on the {} {} of the month", ordinals.at(fields.nth_weekday->week),
                       weekdays.at(fields.nth_weekday->weekday));
  }
  if (fields.weekdays == all_weekdays) return "on every day of the week";
  return "on " + in_runs(fields.weekdays,
                         [](unsigned weekday) { return fmt::format("{}s", weekdays.at(weekday)); });
}

std::string in_words(const cron_fields& fields) {
  std::string out = time_in_words(fields);
  const std::string days = days_in_words(fields);
  if (!days.empty()) {
    out += ' ' + days;
  } else if (tells_times_of_day(fields)) {
    out += " every day";
  }
  if (fields.months != all_months) {
    out += " in " +
           in_runs(fields.months, [](unsigned month) { return std::string(months.at(month)); });
  }
  return out;
}

}  // namespace matview::text
