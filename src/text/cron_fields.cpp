#include "text/cron_fields.hpp"

#include "text/cron_calendar.hpp"
#include "text/quote.hpp"
#include "text/utf8.hpp"
#include <matview/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <span>
#include <utility>
#include <vector>

namespace matview::text {

namespace {

constexpr std::array<std::string_view, 12> month_names{"jan", "feb", "mar", "apr", "may", "jun",
                                                       "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> weekday_names{"sun", "mon", "tue", "wed",
                                                        "thu", "fri", "sat"};

struct field_kind {
  std::string_view name;
  unsigned least;
  unsigned most;
  std::span<const std::string_view> names;  // The first is that of `least`.
  std::string_view takes;
};

constexpr std::array<field_kind, 5> kinds{{
    {"minute", 0, 59, {}, "0-59, *, lists (0,30), ranges (10-20) and steps (*/15, 5/10)"},
    {"hour", 0, 23, {}, "0-23, *, lists (6,18), ranges (9-17) and steps (*/6, 3/6)"},
    {"day of month",
     1,
     31,
     {},
     "1-31, *, L (the last), lists (1,15), ranges (1-7) and steps (*/2)"},
    {"month", 1, 12, month_names,
     "1-12, JAN-DEC, *, lists (1,7), ranges (JUN-AUG) and steps (*/3)"},
    {"day of week", 0, 7, weekday_names,
     "0-7 (0 and 7 are Sunday), SUN-SAT, *, lists (1,3), ranges (MON-FRI), steps (1-5/2), and "
     "alone "
     "FRIL (the last Friday of the month) or MON#2 (the second Monday)"},
}};
constexpr const field_kind& day_of_month = kinds[2];
constexpr const field_kind& day_of_week = kinds[4];

struct macro {
  std::string_view name;
  std::string_view means;
};

constexpr std::array<macro, 7> macros{{{"@yearly", "0 0 1 1 *"},
                                       {"@annually", "0 0 1 1 *"},
                                       {"@monthly", "0 0 1 * *"},
                                       {"@weekly", "0 0 * * 0"},
                                       {"@daily", "0 0 * * *"},
                                       {"@midnight", "0 0 * * *"},
                                       {"@hourly", "0 * * * *"}}};

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Refuses `expression` at the byte where `at` begins; `at` is a part of it.
[[noreturn]] void refuse(std::string_view expression, std::string_view at, std::string_view why,
                         std::string hint) {
  const std::string_view before(expression.data(),
                                static_cast<std::size_t>(at.data() - expression.data()));
  const std::size_t position = characters(before) + 1;
  const std::string caret =
      expression.empty() ? std::string() : '\n' + caret_lines(expression, position);
  throw error(errc::invalid_cron,
              fmt::format("{} is not a valid cron expression: {}{}", shown(expression), why, caret),
              {.hint = std::move(hint), .position = position});
}

std::vector<std::string_view> split(std::string_view expression) {
  std::vector<std::string_view> words;
  const char* at = expression.data();
  const char* const end = at + expression.size();
  while ((at = std::find_if_not(at, end, is_blank)) != end) {
    const char* const word_end = std::find_if(at, end, is_blank);
    words.emplace_back(at, static_cast<std::size_t>(word_end - at));
    at = word_end;
  }
  return words;
}

// What one field takes.
struct values {
  number_set set = 0;
  bool last_day = false;
  std::optional<weekday_of_month> nth_weekday;
  bool star = false;
};

// One field, from its first character to its last.
class field_reader final {
 public:
  field_reader(std::string_view expression, std::string_view field, const field_kind& kind)
      : expression_(expression), whole_(field), rest_(field), kind_(kind) {}

  values read() {
    values out;
    out.star = rest_.starts_with('*');
    do {
      read_item(out);
    } while (skip(','));
    if (!rest_.empty()) fail(rest_, fmt::format("{} is not expected there", shown(rest_, 20)));
    return out;
  }

 private:
  [[nodiscard]] bool is(const field_kind& kind) const { return &kind_ == &kind; }

  [[noreturn]] void fail(std::string_view at, std::string_view why) const {
    fail(at, why, fmt::format("the field {} takes {}", kind_.name, kind_.takes));
  }
  [[noreturn]] void fail(std::string_view at, std::string_view why, std::string hint) const {
    refuse(expression_, at, why, std::move(hint));
  }

  bool skip(char c) {
    const bool there = rest_.starts_with(c);
    if (there) rest_.remove_prefix(1);
    return there;
  }

  std::string_view take(std::size_t size) {
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  // `*`, `L`, a value or a range, and perhaps a step.
  void read_item(values& out) {
    if (out.nth_weekday) refuse_company(rest_);
    if (is(day_of_month) && skip('L')) {
      out.last_day = true;
      return;
    }
    const std::string_view item = rest_;
    unsigned first = kind_.least;
    unsigned last = kind_.most;
    const bool star = skip('*');
    if (!star) {
      first = last = read_value();
      if (is(day_of_week) && read_weekday_of_month(item, first, out)) return;
      if (rest_.starts_with('-')) {
        last = read_range_end(item, first);
      } else if (rest_.starts_with('/')) {
        last = kind_.most;
      }
    }
    const unsigned step = skip('/') ? read_step() : 1;
    for (unsigned value = first; value <= last; value += step) add(value, out);
  }

  void add(unsigned value, values& out) const {
    out.set |= number_set{1} << (is(day_of_week) ? value % 7 : value);
  }

  unsigned read_value() {
    const std::string_view at = rest_;
    if (!rest_.empty() && is_digit(rest_.front())) return in_range(at, read_number());
    const std::string_view name = take(std::min<std::size_t>(3, letters()));
    std::string lower(name);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    const auto found = std::find(kind_.names.begin(), kind_.names.end(), lower);
    if (name.empty() || found == kind_.names.end()) refuse_value(at);
    return kind_.least + static_cast<unsigned>(found - kind_.names.begin());
  }

  [[nodiscard]] std::size_t letters() const {
    return static_cast<std::size_t>(std::find_if_not(rest_.begin(), rest_.end(), is_letter) -
                                    rest_.begin());
  }

  // Numbers that no field has end up as 1000.
  unsigned read_number() {
    unsigned number = 0;
    while (!rest_.empty() && is_digit(rest_.front())) {
      number = std::min(number * 10 + static_cast<unsigned>(take(1).front() - '0'), 1000U);
    }
    return number;
  }

  [[nodiscard]] unsigned in_range(std::string_view at, unsigned number) const {
    if (number >= kind_.least && number <= kind_.most) return number;
    fail(at,
         fmt::format("{} is not a {}, which goes from {} to {}",
                     at.substr(0, at.size() - rest_.size()), kind_.name, kind_.least, kind_.most));
  }

  unsigned read_range_end(std::string_view item, unsigned first) {
    take(1);
    const bool named = !rest_.empty() && is_letter(rest_.front());
    unsigned last = read_value();
    if (is(day_of_week) && named && last == 0 && first > 0) last = 7;  // FRI-SUN
    if (first > last) refuse_descending(item, first, last);
    return last;
  }

  unsigned read_step() {
    const std::string_view at = rest_;
    if (rest_.empty() || !is_digit(rest_.front())) fail(at, "a step is a number");
    const unsigned step = read_number();
    if (step == 0) fail(at, "a step of 0 never gets anywhere");
    if (step > kind_.most) {
      fail(at, fmt::format("this step is beyond the field {}, which ends at {}", kind_.name,
                           kind_.most));
    }
    return step;
  }

  // What may follow a day of the week: `L`, or `#` and a number.
  bool read_weekday_of_month(std::string_view item, unsigned weekday, values& out) {
    if (!rest_.starts_with('L') && !rest_.starts_with('#')) return false;
    if (item.data() != whole_.data()) refuse_company(item);
    out.nth_weekday.emplace().weekday = weekday % 7;
    if (skip('L')) return true;
    take(1);
    const std::string_view at = rest_;
    const unsigned week = read_number();
    if (week < 1 || week > 5) fail(at, "behind # stands which one of the month, 1 to 5");
    out.nth_weekday->week = week;
    return true;
  }

  [[noreturn]] void refuse_company(std::string_view at) const {
    fail(at, "a day such as FRIL or MON#2 stands alone in its field",
         "write two schedules, one for each");
  }

  [[noreturn]] void refuse_descending(std::string_view item, unsigned first, unsigned last) const {
    const std::string_view range = item.substr(0, item.size() - rest_.size());
    const std::size_t dash = range.find('-');
    const unsigned end = is(day_of_week) ? 6 : kind_.most;
    std::string both(range.substr(0, dash));
    if (first < end) both += fmt::format("-{}", end);
    both += ',';
    if (last > kind_.least) both += fmt::format("{}-", kind_.least);
    both += range.substr(dash + 1);
    fail(item, fmt::format("the range {} goes backwards", range),
         fmt::format("write the two parts of it: {}", both));
  }

  [[noreturn]] void refuse_value(std::string_view at) const {
    if (at.empty() || at.front() == ',') fail(at, "a value is missing");
    const std::string_view item = at.substr(0, at.find(','));
    if (at.front() == '?') fail(at, "? is of another dialect", "write *");
    if (at.front() == 'l' && is(day_of_month)) {
      fail(at, "the last day of the month is a capital L", "write L");
    }
    if (at.front() == '-') fail(at, "a range begins with a value, and nothing here is negative");
    fail(at, fmt::format("{} is not a {}", shown(item, 20), kind_.name));
  }

  std::string_view expression_;
  std::string_view whole_;
  std::string_view rest_;
  const field_kind& kind_;
};

std::string_view expand_macro(std::string_view expression, std::string_view word) {
  const auto found =
      std::find_if(macros.begin(), macros.end(), [&](const macro& m) { return m.name == word; });
  if (found != macros.end()) return found->means;
  constexpr std::string_view known =
      "@yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly";
  refuse(expression, word, fmt::format("{} is not known", shown(word, 20)),
         fmt::format("the words with an @ are {}, in lower case", known));
}

void check_count(std::string_view expression, const std::vector<std::string_view>& words) {
  constexpr std::string_view form =
      "five fields between blanks: minute, hour, day of month, month, day of week, as in "
      "\"30 3 * * MON-FRI\"";
  if (words.empty()) refuse(expression, expression, "it is empty", fmt::format("write {}", form));
  if (words.size() < kinds.size()) {
    const std::string_view end = expression.substr(
        static_cast<std::size_t>(words.back().data() + words.back().size() - expression.data()));
    refuse(expression, end,
           fmt::format("it has {} field{} of 5", words.size(), words.size() == 1 ? "" : "s"),
           fmt::format("write {}", form));
  }
  if (words.size() > kinds.size()) {
    refuse(expression, words[kinds.size()], "it has more than 5 fields",
           fmt::format("write {}; there is no field for seconds and none for years", form));
  }
}

void assign(cron_fields& to, const std::vector<std::string_view>& words,
            std::string_view expression) {
  std::array<values, kinds.size()> read;
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    read[i] = field_reader(expression, words[i], kinds[i]).read();
  }
  const auto& [minute, hour, day, month, weekday] = read;
  to.minutes = minute.set;
  to.star_minute = minute.star;
  to.hours = hour.set;
  to.star_hour = hour.star;
  to.days = day.set;
  to.last_day = day.last_day;
  to.star_day = day.star;
  to.months = month.set;
  to.weekdays = weekday.set;
  to.nth_weekday = weekday.nth_weekday;
  to.star_weekday = weekday.star;
}

// The calendar repeats after 400 years, to the day of the week.
void check_happens(const cron_fields& fields, std::string_view expression, std::string_view days) {
  using namespace std::chrono;
  const local_seconds begin = local_days(year(2000) / 1 / 1);
  if (first_match(fields, begin, begin + years(400))) return;
  refuse(expression, days, "this day never comes in the months given",
         "choose a day that one of the months has; L is the last day of any month");
}

}  // namespace

cron_fields parse_cron_fields(std::string_view expression) {
  std::vector<std::string_view> words = split(expression);
  cron_fields out;
  if (words.size() == 1 && words.front().starts_with('@')) {
    out.text = words.front();
    const std::string_view means = expand_macro(expression, words.front());
    assign(out, split(means), means);
    return out;
  }
  if (!words.empty() && words.front().starts_with('@')) {
    expand_macro(expression, words.front());
    refuse(expression, words[1], fmt::format("nothing follows {}", words.front()), "leave it out");
  }
  check_count(expression, words);
  assign(out, words, expression);
  check_happens(out, expression, words[2]);
  out.text = fmt::format("{}", fmt::join(words, " "));
  return out;
}

}  // namespace matview::text
