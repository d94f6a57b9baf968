#include "text/rfc3339.hpp"

#include <fmt/format.h>

namespace matview::text {

namespace chrono = std::chrono;

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Reads from the front of a text; what it asks for and does not find makes it fail for good.
class reader final {
 public:
  explicit reader(std::string_view text) : rest_(text) {}

  [[nodiscard]] bool read_all() const { return ok_ && rest_.empty(); }

  bool skip(std::string_view any_of) {
    const bool there = !rest_.empty() && any_of.find(rest_.front()) != std::string_view::npos;
    if (there) rest_.remove_prefix(1);
    return there;
  }

  void expect(std::string_view any_of) { ok_ = skip(any_of) && ok_; }

  // Exactly so many digits.
  int number(std::size_t digits, int least, int most) {
    int value = 0;
    for (; digits > 0; --digits) {
      if (rest_.empty() || !is_digit(rest_.front())) {
        ok_ = false;
        return least;
      }
      value = value * 10 + (rest_.front() - '0');
      rest_.remove_prefix(1);
    }
    ok_ = ok_ && value >= least && value <= most;
    return value;
  }

  // One digit at least.
  chrono::microseconds fraction() {
    chrono::microseconds value{0};
    chrono::microseconds unit{100'000};
    ok_ = ok_ && !rest_.empty() && is_digit(rest_.front());
    for (; !rest_.empty() && is_digit(rest_.front()); rest_.remove_prefix(1), unit /= 10) {
      value += unit * (rest_.front() - '0');
    }
    return value;
  }

  chrono::sys_days date() {
    const chrono::year year(number(4, 0, 9999));
    expect("-");
    const chrono::month month(static_cast<unsigned>(number(2, 1, 12)));
    expect("-");
    const chrono::day day(static_cast<unsigned>(number(2, 1, 31)));
    const chrono::year_month_day whole = year / month / day;
    ok_ = ok_ && whole.ok();
    return ok_ ? chrono::sys_days(whole) : chrono::sys_days();
  }

  chrono::microseconds time_of_day() {
    chrono::microseconds time = chrono::hours(number(2, 0, 23));
    expect(":");
    time += chrono::minutes(number(2, 0, 59));
    if (!skip(":")) return time;
    time += chrono::seconds(number(2, 0, 60));
    return skip(".") ? time + fraction() : time;
  }

  chrono::minutes offset() {
    if (skip("Zz")) return {};
    const bool behind = skip("-");
    if (!behind) expect("+");
    chrono::minutes ahead = chrono::hours(number(2, 0, 23));
    expect(":");
    ahead += chrono::minutes(number(2, 0, 59));
    return behind ? -ahead : ahead;
  }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

// Without an offset.
std::string written(chrono::sys_seconds time) {
  const auto date = chrono::floor<chrono::days>(time);
  const chrono::year_month_day day(date);
  const chrono::hh_mm_ss clock(time - date);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(day.year()),
                     static_cast<unsigned>(day.month()), static_cast<unsigned>(day.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

}  // namespace

std::optional<chrono::sys_time<chrono::microseconds>> parse_rfc3339(std::string_view text) {
  reader from(text);
  const chrono::sys_days date = from.date();
  from.expect("Tt ");
  const chrono::microseconds time = from.time_of_day();
  const chrono::minutes offset = from.offset();
  if (!from.read_all()) return std::nullopt;
  return date + time - offset;
}

std::string to_rfc3339(chrono::sys_seconds instant) {
  return written(instant) + 'Z';
}

std::string to_rfc3339(chrono::sys_seconds instant, chrono::seconds offset) {
  // Cut first, so that what is written is still the same instant.
  const auto cut = chrono::duration_cast<chrono::minutes>(offset);
  const chrono::hh_mm_ss parts(cut);
  return fmt::format("{}{}{:02}:{:02}", written(instant + cut), cut.count() < 0 ? '-' : '+',
                     parts.hours().count(), parts.minutes().count());
}

}  // namespace matview::text
