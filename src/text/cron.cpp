#include "text/cron_calendar.hpp"
#include "text/cron_fields.hpp"
#include "text/cron_words.hpp"
#include "text/time_zone.hpp"
#include <matview/cron.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace matview {

namespace chrono = std::chrono;

struct cron::schedule {
  text::cron_fields fields;
  text::time_zone zone;
};

namespace {

constexpr chrono::sys_seconds calendar_begin = chrono::sys_days(chrono::year(1) / 1 / 1);
constexpr chrono::sys_seconds calendar_end = chrono::sys_days(chrono::year(10'000) / 1 / 1);
// The end in the local time of any zone.
constexpr chrono::local_seconds local_end{calendar_end.time_since_epoch() + chrono::days(2)};

// Vixie's cron takes a longer jump for a clock that was set, and makes up for nothing.
constexpr chrono::hours longest_gap{3};

chrono::local_seconds shown_at(chrono::sys_seconds instant, const text::zone_period& period) {
  return chrono::local_seconds(instant.time_since_epoch() + period.offset);
}

// Each local time that it names runs once, when the zone's clock first shows it or jumps over it.
std::optional<chrono::sys_seconds> next_local_time(const text::cron_fields& fields,
                                                   const text::time_zone& zone,
                                                   chrono::sys_seconds after) {
  chrono::local_seconds from = zone.unreached(after);
  while (const auto time = first_match(fields, from, local_end)) {
    const text::time_zone::arrival arrival = zone.arrives(*time);
    if (arrival.gap <= longest_gap) return arrival.instant;
    from = arrival.continues;
  }
  return std::nullopt;
}

// Whenever the zone's clock shows a time that it names, it runs.
std::optional<chrono::sys_seconds> next_shown_time(const text::cron_fields& fields,
                                                   const text::time_zone& zone,
                                                   chrono::sys_seconds after) {
  text::zone_period period = zone.at(after);
  chrono::local_seconds from = shown_at(after, period) + chrono::seconds(1);
  while (period.begin < calendar_end) {
    const chrono::local_seconds until = std::min(shown_at(period.end, period), local_end);
    if (const auto time = first_match(fields, from, until)) {
      return chrono::sys_seconds(time->time_since_epoch() - period.offset);
    }
    period = zone.at(period.end);
    from = shown_at(period.begin, period);
  }
  return std::nullopt;
}

// A change of the zone's clock: the local times from `low` to `high` are left out, or come twice.
struct clock_change {
  chrono::local_seconds before;  ///< What the clock would have shown.
  chrono::local_seconds after;   ///< What it shows.

  [[nodiscard]] bool is_gap() const { return after > before; }
  [[nodiscard]] chrono::local_seconds low() const { return std::min(before, after); }
  [[nodiscard]] chrono::local_seconds high() const { return std::max(before, after); }
};

std::string date(chrono::local_seconds time) {
  const chrono::year_month_day day(chrono::floor<chrono::days>(time));
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(day.year()),
                     static_cast<unsigned>(day.month()), static_cast<unsigned>(day.day()));
}

std::string time_of_day(chrono::local_seconds time) {
  const chrono::hh_mm_ss parts(time - chrono::floor<chrono::days>(time));
  return fmt::format("{:02}:{:02}", parts.hours().count(), parts.minutes().count());
}

std::string effect(const text::cron_fields& fields, const clock_change& change,
                   chrono::local_seconds time) {
  const std::string at = time_of_day(time);
  if (!fields.names_local_times()) {
    return change.is_gap() ? fmt::format("what it names there, such as {}, is left out", at)
                           : fmt::format("what it names there, such as {}, runs twice", at);
  }
  if (!change.is_gap()) {
    return fmt::format("{} comes twice, and it runs the first time only", at);
  }
  if (change.high() - change.low() > longest_gap)
    return fmt::format("the run at {} is skipped", at);
  return fmt::format("{} does not come, and it runs at {} instead", at, time_of_day(change.after));
}

std::optional<std::string> clock_warning(const text::cron_fields& fields,
                                         const text::time_zone& zone, const clock_change& change) {
  const auto time = first_match(fields, change.low(), change.high());
  if (!time) return std::nullopt;
  return fmt::format("in {} the clock {} from {} to {} on {}: {}", zone.name(),
                     change.is_gap() ? "jumps" : "goes back", time_of_day(change.before),
                     time_of_day(change.after), date(change.before), effect(fields, change, *time));
}

// The first gap and the first overlap of the year that matter.
void add_clock_warnings(const text::cron_fields& fields, const text::time_zone& zone,
                        chrono::sys_seconds from, std::vector<std::string>& out) {
  // What runs in every hour by elapsed time neither misses nor repeats anything.
  if (!fields.names_local_times() && fields.hours == text::all_hours) return;
  bool gap_told = false;
  bool overlap_told = false;
  for (text::zone_period period = zone.at(from); period.end < from + chrono::days(366);) {
    const text::zone_period next = zone.at(period.end);
    const clock_change change{shown_at(period.end, period), shown_at(next.begin, next)};
    bool& told = change.is_gap() ? gap_told : overlap_told;
    if (!told && change.before != change.after) {
      if (auto warning = clock_warning(fields, zone, change)) {
        out.push_back(std::move(*warning));
        told = true;
      }
    }
    period = next;
  }
}

void add_day_warning(const text::cron_fields& fields, std::vector<std::string>& out) {
  if (!fields.restricts_days() || !fields.restricts_weekdays()) return;
  const std::string days = text::days_of_month_in_words(fields);
  const std::string weekdays = text::weekdays_in_words(fields);
  if (fields.needs_both_days()) {
    out.push_back(fmt::format(
        "day of month and day of week are both given, and one begins with *, so both have to "
        "match: {} and also {}",
        days, weekdays));
  } else {
    out.push_back(
        fmt::format("day of month and day of week are both given, so either is enough: {}, and {}",
                    days, weekdays));
  }
}

}  // namespace

cron::cron(std::shared_ptr<const schedule> what) : schedule_(std::move(what)) {}

cron cron::parse(std::string_view expression, std::string_view time_zone) {
  return cron(std::make_shared<const schedule>(
      schedule{text::parse_cron_fields(expression), text::time_zone::load(time_zone)}));
}

const std::string& cron::text() const noexcept {
  return schedule_->fields.text;
}

const std::string& cron::time_zone() const noexcept {
  return schedule_->zone.name();
}

std::optional<cron::instant> cron::next_after(instant after) const {
  const auto& [fields, zone] = *schedule_;
  const chrono::sys_seconds from =
      std::max(chrono::floor<chrono::seconds>(after), calendar_begin - chrono::seconds(1));
  if (from >= calendar_end) return std::nullopt;
  const auto next = fields.names_local_times() ? next_local_time(fields, zone, from)
                                               : next_shown_time(fields, zone, from);
  if (!next || *next >= calendar_end) return std::nullopt;
  return next;
}

std::string cron::in_words() const {
  return fmt::format("{}, {}", text::in_words(schedule_->fields), time_zone());
}

std::vector<std::string> cron::warnings(instant from) const {
  const auto& [fields, zone] = *schedule_;
  std::vector<std::string> out;
  add_day_warning(fields, out);
  add_clock_warnings(fields, zone,
                     std::clamp(chrono::floor<chrono::seconds>(from), calendar_begin, calendar_end),
                     out);
  return out;
}

}  // namespace matview
