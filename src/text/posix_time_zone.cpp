#include "text/posix_time_zone.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace matview::text {

namespace chrono = std::chrono;

// Reads from the front of a text; each function is false if what stands there is something else.
class posix_rule_reader final {
 public:
  explicit posix_rule_reader(std::string_view text) : rest_(text) {}

  bool read(posix_time_zone& into) {
    if (!read_clock(into.standard_)) return false;
    if (rest_.empty()) return true;
    posix_summer_time& summer = into.summer_.emplace();
    if (!read_abbreviation(summer.shows.abbreviation)) return false;
    summer.shows.offset = into.standard_.offset + chrono::hours(1);
    if (!rest_.starts_with(',') && !read_offset(summer.shows.offset)) return false;
    return read_date(summer.begins) && read_date(summer.ends) && rest_.empty();
  }

 private:
  bool skip(char c) {
    const bool there = rest_.starts_with(c);
    if (there) rest_.remove_prefix(1);
    return there;
  }

  bool read_clock(posix_clock& into) {
    return read_abbreviation(into.abbreviation) && read_offset(into.offset);
  }

  // Letters, or anything between < and >.
  bool read_abbreviation(std::string& into) {
    const bool quoted = skip('<');
    const auto ends = [quoted](char c) {
      const bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
      return quoted ? c == '>' : !letter;
    };
    const auto end = std::find_if(rest_.begin(), rest_.end(), ends);
    into.assign(rest_.begin(), end);
    rest_.remove_prefix(into.size());
    return into.size() >= 3 && (!quoted || skip('>'));
  }

  // The sign counts westwards.
  bool read_offset(chrono::seconds& into) {
    if (!read_time(into, 24)) return false;
    into = -into;
    return true;
  }

  bool read_time(chrono::seconds& into, unsigned most_hours) {
    const bool negative = skip('-');
    if (!negative) skip('+');
    unsigned hours = 0;
    unsigned minutes = 0;
    unsigned seconds = 0;
    if (!read_number(hours, 0, most_hours)) return false;
    if (skip(':') && !read_number(minutes, 0, 59)) return false;
    if (skip(':') && !read_number(seconds, 0, 59)) return false;
    into = chrono::hours(hours) + chrono::minutes(minutes) + chrono::seconds(seconds);
    if (negative) into = -into;
    return true;
  }

  bool read_date(posix_date_rule& into) {
    using kind = posix_date_rule::kind;
    if (!skip(',')) return false;
    if (skip('M')) {
      into.is = kind::weekday_of_month;
      if (!read_number(into.month, 1, 12) || !skip('.') || !read_number(into.week, 1, 5) ||
          !skip('.') || !read_number(into.day, 0, 6)) {
        return false;
      }
    } else if (skip('J')) {
      into.is = kind::day_of_common_year;
      if (!read_number(into.day, 1, 365)) return false;
    } else {
      into.is = kind::day_of_year;
      if (!read_number(into.day, 0, 365)) return false;
    }
    return !skip('/') || read_time(into.time, 167);
  }

  bool read_number(unsigned& into, unsigned least, unsigned most) {
    std::size_t digits = 0;
    into = 0;
    for (; digits < rest_.size() && rest_[digits] >= '0' && rest_[digits] <= '9'; ++digits) {
      into = std::min(into * 10 + static_cast<unsigned>(rest_[digits] - '0'), 1000U);
    }
    rest_.remove_prefix(digits);
    return digits > 0 && into >= least && into <= most;
  }

  std::string_view rest_;
};

std::optional<posix_time_zone> posix_time_zone::parse(std::string_view text) {
  posix_time_zone read;
  if (!posix_rule_reader(text).read(read)) return std::nullopt;
  return read;
}

chrono::seconds posix_date_rule::since_epoch(chrono::year year) const {
  const auto january = chrono::sys_days(year / 1 / 1).time_since_epoch();
  switch (is) {
    case kind::day_of_common_year: {
      const bool after_leap_day = year.is_leap() && day > 31 + 28;
      return january + chrono::days(day - 1 + (after_leap_day ? 1 : 0)) + time;
    }
    case kind::day_of_year:
      return january + chrono::days(day) + time;
    case kind::weekday_of_month:
      break;
  }
  const auto of_month = year / chrono::month(month);
  const chrono::weekday on(day);
  const chrono::sys_days date = week == 5 ? chrono::sys_days(of_month / on[chrono::last])
                                          : chrono::sys_days(of_month / on[week]);
  return date.time_since_epoch() + time;
}

zone_period posix_time_zone::at(chrono::sys_seconds instant) const {
  if (!summer_) {
    return {earliest_instant, latest_instant, standard_.offset, standard_.abbreviation};
  }
  struct change {
    chrono::sys_seconds at;
    const posix_clock* to;
  };
  // A time of up to a week moves a change into the neighbouring year, so two years either side are
  // looked at. A summer that ends when the next begins lasts all year (RFC 8536, 3.3.1): of two
  // changes at one instant the beginning is the later.
  std::array<change, 10> changes{};
  const chrono::year year = chrono::year_month_day(chrono::floor<chrono::days>(instant)).year();
  auto next = changes.begin();
  for (int beside = -2; beside <= 2; ++beside) {
    const chrono::year of = year + chrono::years(beside);
    *next++ = {chrono::sys_seconds(summer_->ends.since_epoch(of) - summer_->shows.offset),
               &standard_};
    *next++ = {chrono::sys_seconds(summer_->begins.since_epoch(of) - standard_.offset),
               &summer_->shows};
  }
  std::sort(changes.begin(), changes.end(), [this](const change& a, const change& b) {
    return a.at != b.at ? a.at < b.at : a.to == &standard_ && b.to != &standard_;
  });
  const auto after =
      std::upper_bound(changes.begin(), changes.end(), instant,
                       [](chrono::sys_seconds t, const change& c) { return t < c.at; });
  const change& last = *std::prev(after);
  return {last.at, after->at, last.to->offset, last.to->abbreviation};
}

}  // namespace matview::text
