// next_after() against an oracle that shares nothing with it: a schedule is drawn as sets of
// numbers (its text is made from the draw, not read), the zone's clock is the C library's, and the
// oracle goes from minute to minute.

#include "support/system_time.hpp"
#include <matview/cron.hpp>
#include <matview/error.hpp>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace matview {
namespace {

using test::system_zone;

constexpr std::time_t minute = 60;
constexpr std::time_t hour = 60 * minute;
constexpr std::time_t day = 24 * hour;

// ---- schedules

struct drawn_field {
  std::string text;
  std::set<int> values;
};

struct field_shape {
  int least;
  int most;
  std::vector<std::string> names;
};

const std::vector<field_shape>& shapes() {
  static const std::vector<field_shape> all{
      {0, 59, {}},
      {0, 23, {}},
      {1, 31, {}},
      {1, 12, {"Jan", "FEB", "mar", "Apr", "MAY", "jun", "jul", "AUG", "sep", "oct", "nov", "Dec"}},
      {0, 7, {"sun", "MON", "Tue", "wed", "thu", "FRI", "sat"}}};
  return all;
}

std::string written(const field_shape& shape, int value) {
  const auto name = static_cast<std::size_t>(value - shape.least);
  const bool named = name < shape.names.size() && *rc::gen::arbitrary<bool>();
  return named ? shape.names[name] : std::to_string(value);
}

drawn_field draw_item(const field_shape& shape) {
  int first = *rc::gen::inRange(shape.least, shape.most + 1);
  int last = *rc::gen::inRange(first, shape.most + 1);
  int step = *rc::gen::inRange(1, std::min(shape.most, 20) + 1);
  drawn_field item;
  switch (*rc::gen::inRange(0, 5)) {
    case 0:
      item.text = written(shape, first);
      last = first;
      step = 1;
      break;
    case 1:
      item.text = written(shape, first) + "-" + std::to_string(last);
      step = 1;
      break;
    case 2:
      item.text = written(shape, first) + "-" + std::to_string(last) + "/" + std::to_string(step);
      break;
    case 3:
      item.text = written(shape, first) + "/" + std::to_string(step);
      last = shape.most;
      break;
    default:
      item.text = "*/" + std::to_string(step);
      first = shape.least;
      last = shape.most;
  }
  for (int value = first; value <= last; value += step) item.values.insert(value);
  return item;
}

drawn_field every_value(const field_shape& shape) {
  drawn_field field{"*", {}};
  for (int value = shape.least; value <= shape.most; ++value) field.values.insert(value);
  return field;
}

drawn_field draw_field(const field_shape& shape) {
  if (*rc::gen::inRange(0, 5) < 2) return every_value(shape);
  drawn_field field;
  const int items = *rc::gen::inRange(1, 4);
  for (int i = 0; i < items; ++i) {
    const drawn_field item = draw_item(shape);
    field.text += (i > 0 ? "," : "") + item.text;
    field.values.insert(item.values.begin(), item.values.end());
  }
  return field;
}

struct drawn_schedule {
  std::vector<drawn_field> fields;
  bool last_day = false;
  int nth_weekday = -1;  // With `nth`.
  int nth = 0;           // 6 means the last.

  [[nodiscard]] std::string text() const {
    std::string out;
    for (const drawn_field& field : fields) out += (out.empty() ? "" : " ") + field.text;
    return out;
  }
};

void draw_extensions(drawn_schedule& into) {
  if (*rc::gen::inRange(0, 8) == 0) {
    into.fields[2] = {"L", {}};
    into.last_day = true;
  }
  if (*rc::gen::inRange(0, 8) == 0) {
    const int weekday = *rc::gen::inRange(0, 8);
    into.nth_weekday = weekday % 7;
    into.nth = *rc::gen::inRange(1, 7);
    const std::string which = into.nth == 6 ? "L" : "#" + std::to_string(into.nth);
    into.fields[4] = {written(shapes()[4], weekday) + which, {}};
  }
}

drawn_schedule draw_schedule() {
  drawn_schedule out;
  for (const field_shape& shape : shapes()) out.fields.push_back(draw_field(shape));
  draw_extensions(out);
  return out;
}

// Times of each day, most of them about the hours at which zones change.
drawn_schedule draw_times() {
  drawn_schedule out;
  for (const int values : {60, 5}) {
    drawn_field field;
    for (int more = *rc::gen::inRange(1, 5); more > 0; --more) {
      const int value = *rc::gen::inRange(0, values);
      field.text += (field.text.empty() ? "" : ",") + std::to_string(value);
      field.values.insert(value);
    }
    out.fields.push_back(field);
  }
  for (std::size_t i = 2; i < shapes().size(); ++i) out.fields.push_back(every_value(shapes()[i]));
  return out;
}

bool holds(const drawn_schedule& schedule, std::size_t field, int value) {
  return schedule.fields[field].values.contains(value);
}

bool begins_with_star(const drawn_schedule& schedule, std::size_t field) {
  return schedule.fields[field].text.starts_with('*');
}

int days_in_month(const std::tm& date) {
  const int year = date.tm_year + 1900;
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  if (date.tm_mon == 1) return leap ? 29 : 28;
  return date.tm_mon == 3 || date.tm_mon == 5 || date.tm_mon == 8 || date.tm_mon == 10 ? 30 : 31;
}

bool matches_day(const drawn_schedule& schedule, const std::tm& date) {
  if (!holds(schedule, 3, date.tm_mon + 1)) return false;
  const int last = days_in_month(date);
  const bool on_day =
      holds(schedule, 2, date.tm_mday) || (schedule.last_day && date.tm_mday == last);
  bool on_weekday =
      holds(schedule, 4, date.tm_wday) || (date.tm_wday == 0 && holds(schedule, 4, 7));
  if (schedule.nth_weekday == date.tm_wday) {
    on_weekday =
        schedule.nth == 6 ? date.tm_mday + 7 > last : (date.tm_mday - 1) / 7 + 1 == schedule.nth;
  }
  const bool both = begins_with_star(schedule, 2) || begins_with_star(schedule, 4);
  return both ? on_day && on_weekday : on_day || on_weekday;
}

bool matches(const drawn_schedule& schedule, const std::tm& time) {
  return time.tm_sec == 0 && holds(schedule, 0, time.tm_min) && holds(schedule, 1, time.tm_hour) &&
         matches_day(schedule, time);
}

// ---- the oracle

// A local time as the number of seconds that a UTC clock which shows it would have counted.
std::tm parts(std::time_t local) {
  std::tm out{};
  ::gmtime_r(&local, &out);
  return out;
}

// The minutes that the clock jumped over or reached, in (reached, shown].
bool named_between(const drawn_schedule& schedule, std::time_t reached, std::time_t shown) {
  for (std::time_t local = reached - reached % 60; local <= shown; local += 60) {
    if (local > reached && matches(schedule, parts(local))) return true;
  }
  return false;
}

// All fires in (from, until], found by watching the zone's clock: minute by minute, and second by
// second where its offset changes.
std::vector<std::time_t> watched(const drawn_schedule& schedule, const system_zone& zone,
                                 std::time_t from, std::time_t until) {
  const bool once = !begins_with_star(schedule, 0) && !begins_with_star(schedule, 1);
  std::vector<std::time_t> fires;
  // Clocks have gone back by three hours at most since 1970.
  std::time_t now = from - 3 * hour;
  std::tm time = zone.local(now);
  std::time_t reached = now + time.tm_gmtoff;
  while (now < until) {
    std::time_t step = 60 - time.tm_sec;
    std::tm next = zone.local(now + step);
    if (next.tm_gmtoff != time.tm_gmtoff) next = zone.local(now + (step = 1));
    now += step;
    time = next;
    const std::time_t shown = now + time.tm_gmtoff;
    const bool too_far = shown - reached - step > 3 * hour;
    const bool fires_now =
        once && !too_far ? named_between(schedule, reached, shown) : matches(schedule, time);
    if (fires_now && now > from && now <= until) fires.push_back(now);
    reached = std::max(reached, shown);
  }
  return fires;
}

std::vector<std::time_t> computed(const cron& schedule, std::time_t from, std::time_t until) {
  std::vector<std::time_t> fires;
  cron::instant now{std::chrono::seconds(from)};
  while (const auto next = schedule.next_after(now)) {
    RC_ASSERT(*next > now);
    now = *next;
    const auto seconds = std::chrono::floor<std::chrono::seconds>(now);
    RC_ASSERT(seconds == now);
    if (seconds.time_since_epoch().count() > until) break;
    fires.push_back(seconds.time_since_epoch().count());
  }
  return fires;
}

// Nothing for a schedule that never happens, which is refused.
std::optional<cron> accepted(const drawn_schedule& schedule, const std::string& zone) {
  try {
    return cron::parse(schedule.text(), zone);
  } catch (const error& refused) {
    RC_ASSERT(std::string_view(refused.what()).find("never comes") != std::string_view::npos);
    return std::nullopt;
  }
}

// The last instant before the zone's offset changes, in the year after `from`; or `from`.
std::time_t before_change(const system_zone& zone, std::time_t from) {
  for (std::time_t low = from; low < from + 366 * day; low += 7 * day) {
    std::time_t high = low + 7 * day;
    if (zone.offset(low) == zone.offset(high)) continue;
    while (high - low > 1) {
      const std::time_t middle = low + (high - low) / 2;
      (zone.offset(middle) == zone.offset(low) ? low : high) = middle;
    }
    return low;
  }
  return from;
}

std::time_t any_instant() {
  return *rc::gen::inRange<std::int64_t>(0, test::begin_of_year(2100));
}

RC_GTEST_PROP(CronOracle, FiresWhenTheClockOfAnyZoneSaysSoAroundItsChanges, ()) {
  const std::string name = *rc::gen::elementOf(test::system_zone_names());
  const system_zone zone(name);
  const drawn_schedule schedule = *rc::gen::arbitrary<bool>() ? draw_schedule() : draw_times();
  const std::optional<cron> read = accepted(schedule, name);
  const std::time_t change = before_change(zone, any_instant());
  const std::time_t from = change - *rc::gen::inRange<std::time_t>(0, 3 * hour);
  const std::time_t until = change + 3 * hour;
  const std::vector<std::time_t> expected = watched(schedule, zone, from, until);
  RC_LOG() << schedule.text() << " in " << name << " after " << from;
  RC_CLASSIFY(zone.offset(from) < zone.offset(until), "gap");
  RC_CLASSIFY(zone.offset(from) > zone.offset(until), "overlap");
  RC_CLASSIFY(!expected.empty(), "fires");
  RC_ASSERT((read ? computed(*read, from, until) : std::vector<std::time_t>()) == expected);
}

// Days alone, years ahead, in UTC.
RC_GTEST_PROP(CronOracle, FindsTheNextDayHoweverFar, ()) {
  const drawn_schedule schedule = draw_schedule();
  const std::optional<cron> read = accepted(schedule, "UTC");
  const std::time_t from = any_instant() / day * day - 1;
  RC_LOG() << schedule.text() << " after " << from;
  std::optional<std::time_t> expected;
  for (std::time_t date = from + 1; !expected && date < from + day * 366 * 60; date += day) {
    if (matches_day(schedule, parts(date))) {
      expected = date + *schedule.fields[1].values.begin() * hour +
                 *schedule.fields[0].values.begin() * minute;
    }
  }
  RC_ASSERT(read.has_value() == expected.has_value());
  if (!read) RC_SUCCEED("never happens");
  RC_ASSERT(read->next_after(cron::instant(std::chrono::seconds(from))) ==
            cron::instant(std::chrono::seconds(*expected)));
}

}  // namespace
}  // namespace matview
