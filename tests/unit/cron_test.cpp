#include "support/hostile_text.hpp"
#include "support/refusal.hpp"
#include "support/system_time.hpp"
#include <matview/cron.hpp>
#include <matview/error.hpp>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace matview {
namespace {

using test::refusal;
using test::system_zone;

cron::instant at(std::time_t unix_time) {
  return cron::instant(std::chrono::seconds(unix_time));
}

std::time_t unix_time(cron::instant instant) {
  return std::chrono::floor<std::chrono::seconds>(instant).time_since_epoch().count();
}

// `2026-11-22T07:16:30Z`, read by the C library.
cron::instant instant(const std::string& rfc3339) {
  std::tm read{};
  const char* end = ::strptime(rfc3339.c_str(), "%Y-%m-%dT%H:%M:%SZ", &read);
  if (end == nullptr || *end != '\0') throw std::invalid_argument(rfc3339);
  return at(::timegm(&read));
}

std::string shown(std::optional<cron::instant> instant) {
  if (!instant) return "none";
  const std::time_t seconds = unix_time(*instant);
  if (at(seconds) != *instant) return "not a whole second";
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::string out(40, '\0');
  out.resize(std::strftime(out.data(), out.size(), "%Y-%m-%dT%H:%M:%SZ", &parts));
  return out;
}

// ---- the given cases

struct given_case {
  std::string expression;
  std::string zone;
  std::string after;
  std::vector<std::string> expected;
};

std::vector<given_case> given_cases() {
  std::ifstream file(MATVIEW_TEST_DATA "/cron_cases.tsv");
  std::vector<given_case> cases;
  std::string line;
  std::getline(file, line);  // The heading.
  while (std::getline(file, line)) {
    std::istringstream columns(line);
    given_case row;
    std::getline(columns, row.expression, '\t');
    std::getline(columns, row.zone, '\t');
    std::getline(columns, row.after, '\t');
    row.expected.resize(3);
    for (std::string& expected : row.expected) std::getline(columns, expected, '\t');
    cases.push_back(row);
  }
  return cases;
}

TEST(Cron, DoesWhatTheGivenCasesSay) {
  const std::vector<given_case> cases = given_cases();
  EXPECT_EQ(cases.size(), 160U);
  for (const given_case& row : cases) {
    SCOPED_TRACE(row.expression + " in " + row.zone + " after " + row.after);
    if (row.expected.front() == "ERROR") {
      const auto thrown = refusal([&] { return cron::parse(row.expression, row.zone); });
      ASSERT_TRUE(thrown);
      EXPECT_EQ(thrown->code(), errc::invalid_cron);
      continue;
    }
    const cron read = cron::parse(row.expression, row.zone);
    std::optional<cron::instant> next = instant(row.after);
    for (const std::string& expected : row.expected) {
      next = read.next_after(*next);
      ASSERT_EQ(shown(next), expected);
    }
  }
}

// ---- syntax

struct same_row {
  std::string given;
  std::string same_as;
};

TEST(Cron, ReadsOneScheduleFromSeveralSpellings) {
  const std::vector<same_row> table{
      {"@yearly", "0 0 1 1 *"},
      {"@annually", "0 0 1 1 *"},
      {"@monthly", "0 0 1 * *"},
      {"@weekly", "0 0 * * 0"},
      {"@daily", "0 0 * * *"},
      {"@midnight", "0 0 * * *"},
      {"@hourly", "0 * * * *"},
      {"0 0 * * 7", "0 0 * * 0"},
      {"0 0 * * 5-7", "0 0 * * 0,5,6"},
      {"0 0 * * FRI-SUN", "0 0 * * 0,5,6"},
      {"0 0 * * fri-Sun/2", "0 0 * * 0,5"},
      {"0 0 * * SUN-MON", "0 0 * * 0,1"},
      {"0 0 * * 0-7", "0 0 * * *"},
      {"0 0 * * 1/2", "0 0 * * 1,3,5,7"},
      {"0 0 * * friL", "0 0 * * 5L"},
      {"0 0 * * 7L", "0 0 * * 0L"},
      {"0 0 * * mon#5", "0 0 * * 1#5"},
      {"0 0 15,L * *", "0 0 L,15 * *"},
      {"0 0 1 jAn-MAR *", "0 0 1 1,2,3 *"},
      {"50/5 * * * *", "50,55 * * * *"},
      {"00000000000000000000007 * * * *", "7 * * * *"},
      {"\t 1  2\t3 4 * \t", "1 2 3 4 *"},
  };
  for (const same_row& row : table) {
    SCOPED_TRACE(row.given);
    const cron one = cron::parse(row.given);
    const cron other = cron::parse(row.same_as);
    EXPECT_EQ(one.in_words(), other.in_words());
    cron::instant now = instant("2026-11-22T07:16:30Z");
    for (int i = 0; i < 20; ++i) {
      const auto next = one.next_after(now);
      ASSERT_EQ(shown(next), shown(other.next_after(now)));
      now = *next;
    }
  }
}

TEST(Cron, KeepsItsTextWithOneBlankBetweenTheFields) {
  EXPECT_EQ(cron::parse("\t*/5  *\t* JAN-MAR   mon ").text(), "*/5 * * JAN-MAR mon");
  EXPECT_EQ(cron::parse(" @daily ").text(), "@daily");
  EXPECT_EQ(cron::parse("* * * * *", "Europe/Berlin").time_zone(), "Europe/Berlin");
  EXPECT_EQ(cron::parse("* * * * *").time_zone(), "UTC");
}

struct refused_row {
  const char* why;
  std::string expression;
  std::size_t position;
  std::string_view says;
  std::string_view hint;
};

TEST(Cron, RefusesEverythingElseWithPositionAndHint) {
  const std::vector<refused_row> table{
      {"empty", "", 1, "it is empty", "five fields"},
      {"only blanks", " \t ", 1, "it is empty", "five fields"},
      {"four fields", "* * * *", 8, "it has 4 fields of 5", "five fields"},
      {"one word", "abc", 4, "it has 1 field of 5", "five fields"},
      {"seconds", "*/10 * * * * *", 14, "more than 5 fields", "no field for seconds"},
      {"a year", "0 0 * * * 2026", 11, "more than 5 fields", "none for years"},
      {"newline as a blank", "* *\n* * *", 10, "it has 4 fields of 5", "five fields"},
      {"newline at the end", "* * * * *\n", 10, R"("\n" is not expected)", "day of week takes"},
      {"a number too large", "60 * * * *", 1, "60 is not a minute", "minute takes 0-59"},
      {"a number far too large", "* 99999999999999999999 * * *", 3, "99999999999999999999 is not",
       "0-23"},
      {"day 0", "* * 0 * *", 5, "from 1 to 31", "day of month takes"},
      {"month 13", "* * * 13 *", 7, "from 1 to 12", "month takes"},
      {"day of week 8", "* * * * 8", 9, "from 0 to 7", "SUN-SAT"},
      {"behind blanks", "  0  0 32 * *", 8, "32 is not a day of month", "1-31"},
      {"in a list", "1,2,75 * * * *", 5, "75 is not a minute", "0-59"},
      {"in a range", "1-75 * * * *", 3, "75 is not a minute", "0-59"},
      {"negative", "-1 * * * *", 1, "nothing here is negative", "0-59"},
      {"backwards", "0 23-1 * * *", 3, "the range 23-1 goes backwards", "23,0-1"},
      {"names backwards", "0 0 * NOV-FEB *", 7, "NOV-FEB goes backwards", "NOV-12,1-FEB"},
      {"weekdays backwards", "0 0 * * FRI-MON", 9, "FRI-MON goes backwards", "FRI-6,0-MON"},
      {"until Sunday as 0", "0 0 * * 6-0", 9, "6-0 goes backwards", "6,0"},
      {"open range", "5- * * * *", 3, "a value is missing", "0-59"},
      {"two ranges", "1-2-3 * * * *", 4, R"("-3" is not expected)", "0-59"},
      {"comma at the end", "1, * * * *", 3, "a value is missing", "0-59"},
      {"two commas", "1,,2 * * * *", 3, "a value is missing", "0-59"},
      {"no step", "*/ * * * *", 3, "a step is a number", "0-59"},
      {"no value", "/5 * * * *", 1, "\"/5\" is not a minute", "0-59"},
      {"step 0", "*/0 * * * *", 3, "a step of 0", "0-59"},
      {"step beyond the minutes", "*/60 * * * *", 3, "beyond the field minute", "0-59"},
      {"step beyond the hours", "* */24 * * *", 5, "beyond the field hour", "0-23"},
      {"step beyond the months", "* * * */13 *", 9, "beyond the field month", "1-12"},
      {"two stars", "** * * * *", 2, R"("*" is not expected)", "0-59"},
      {"star behind a number", "5* * * * *", 2, R"("*" is not expected)", "0-59"},
      {"fraction", "1.5 * * * *", 2, R"(".5" is not expected)", "0-59"},
      {"name in the wrong field", "0 0 * MON *", 7, "\"MON\" is not a month", "JAN-DEC"},
      {"whole name", "0 0 * * MONDAY", 12, "\"DAY\" is not expected", "SUN-SAT"},
      {"half a name", "0 0 * * MO", 9, "\"MO\" is not a day of week", "SUN-SAT"},
      {"question mark", "0 0 ? * 1", 5, "another dialect", "write *"},
      {"hash of Jenkins", "H * * * *", 1, "\"H\" is not a minute", "0-59"},
      {"nearest working day", "0 0 1W * *", 6, R"("W" is not expected)", "1-31"},
      {"small l", "0 0 l * *", 5, "capital L", "write L"},
      {"L with a step", "0 0 L/2 * *", 6, R"("/2" is not expected)", "L (the last)"},
      {"L with a range", "0 0 L-3 * *", 6, R"("-3" is not expected)", "L (the last)"},
      {"L in another field", "L * * * *", 1, "\"L\" is not a minute", "0-59"},
      {"week 6", "0 0 * * 1#6", 11, "1 to 5", "MON#2"},
      {"week 0", "0 0 * * 1#0", 11, "1 to 5", "MON#2"},
      {"no week", "0 0 * * 1#", 11, "1 to 5", "MON#2"},
      {"two of them", "0 0 * * 1#1,3#2", 13, "stands alone", "two schedules"},
      {"one and a value", "0 0 * * 5L,1", 12, "stands alone", "two schedules"},
      {"a value and one", "0 0 * * 1,FRIL", 11, "stands alone", "two schedules"},
      {"one with a step", "0 0 * * 5L/2", 11, R"("/2" is not expected)", "FRIL"},
      {"February 30", "0 0 30 2 *", 5, "never comes", "L is the last day"},
      {"April 31", "0 0 31 4 *", 5, "never comes", "L is the last day"},
      {"February 30 that is a Sunday", "0 0 30 2 */7", 5, "never comes", "L is the last day"},
      {"unknown macro", "@reboot", 1, "\"@reboot\" is not known", "@daily"},
      {"macro in capitals", " @DAILY", 2, "\"@DAILY\" is not known", "lower case"},
      {"macro with a word", "@every 5m", 1, "\"@every\" is not known", "@daily"},
      {"word behind a macro", "@daily *", 8, "nothing follows @daily", "leave it out"},
      {"NUL", std::string("*\0 * * * *", 10), 2, R"("\x00" is not expected)", "0-59"},
  };
  for (const refused_row& row : table) {
    SCOPED_TRACE(row.why);
    const auto thrown = refusal([&] { return cron::parse(row.expression); });
    ASSERT_TRUE(thrown);
    EXPECT_EQ(thrown->code(), errc::invalid_cron);
    EXPECT_EQ(thrown->position(), row.position) << thrown->what();
    EXPECT_NE(std::string_view(thrown->what()).find(row.says), std::string_view::npos)
        << thrown->what();
    EXPECT_NE(thrown->hint().find(row.hint), std::string::npos) << thrown->hint();
  }
}

TEST(Cron, CountsCharactersNotBytesAndShowsThePlace) {
  const auto thrown = refusal([] { return cron::parse("1,2 é * * *"); });
  ASSERT_TRUE(thrown);
  EXPECT_EQ(thrown->position(), 5U);
  const auto behind = refusal([] { return cron::parse("é * * * * x"); });
  ASSERT_TRUE(behind);
  EXPECT_EQ(behind->position(), 11U);
  EXPECT_TRUE(
      std::string_view(behind->what()).ends_with("\nline 1: é * * * * x\n                  ^"))
      << behind->what();
}

TEST(Cron, RefusesAnUnknownZoneWithoutAPosition) {
  const auto thrown = refusal([] { return cron::parse("* * * * *", "Europe/Berln"); });
  ASSERT_TRUE(thrown);
  EXPECT_EQ(thrown->code(), errc::invalid_cron);
  EXPECT_EQ(thrown->position(), std::nullopt);
  EXPECT_NE(thrown->hint().find("Europe/Berlin"), std::string::npos);
}

RC_GTEST_PROP(CronProperty, HostileTextIsRefusedOrReadTheSameAgain, ()) {
  const std::string text = *test::hostile_text({"*", "0", " ", "/5", "1-5", "MON", "L", "@daily"});
  const auto thrown = refusal([&] {
    const cron read = cron::parse(text);
    RC_ASSERT(cron::parse(read.text()).text() == read.text());
    return 0;
  });
  if (thrown) {
    RC_ASSERT(thrown->code() == errc::invalid_cron);
    RC_ASSERT(!thrown->hint().empty());
    RC_ASSERT(thrown->position().has_value());
  }
}

// ---- when: limits of the calendar

TEST(Cron, IsStrictlyLaterByAMicrosecond) {
  const cron daily = cron::parse("0 0 * * *");
  const cron::instant midnight = instant("2026-11-22T00:00:00Z");
  EXPECT_EQ(daily.next_after(midnight - std::chrono::microseconds(1)), midnight);
  EXPECT_EQ(shown(daily.next_after(midnight)), "2026-11-23T00:00:00Z");
  EXPECT_EQ(shown(daily.next_after(midnight + std::chrono::microseconds(1))),
            "2026-11-23T00:00:00Z");
}

TEST(Cron, FindsTheFarthestFires) {
  EXPECT_EQ(shown(cron::parse("0 0 * 2 MON#5").next_after(instant("2072-02-29T00:00:00Z"))),
            "2112-02-29T00:00:00Z");
  EXPECT_EQ(shown(cron::parse("0 0 29 2 */7").next_after(instant("2088-02-29T00:00:00Z"))),
            "2128-02-29T00:00:00Z");
  EXPECT_EQ(shown(cron::parse("* * * 2 MON#5", "America/New_York")
                      .next_after(instant("2072-03-01T05:00:00Z"))),
            "2112-02-29T05:00:00Z");
}

TEST(Cron, EndsWithTheYear9999AndBeginsWithTheYear1) {
  for (const char* expression : {"0 12 * * *", "*/30 12 * * *"}) {
    for (const char* zone : {"UTC", "Asia/Tokyo", "America/New_York"}) {
      SCOPED_TRACE(std::string(expression) + " " + zone);
      const cron read = cron::parse(expression, zone);
      const auto last = read.next_after(instant("9999-12-31T00:00:00Z"));
      ASSERT_TRUE(last);
      EXPECT_EQ(read.next_after(instant("9999-12-31T23:59:59Z")), std::nullopt);
      EXPECT_EQ(read.next_after(cron::instant::max()), std::nullopt);
      const auto first = read.next_after(cron::instant::min());
      ASSERT_TRUE(first);
      const cron::instant begin = std::chrono::sys_days(std::chrono::year(1) / 1 / 1);
      EXPECT_GE(*first, begin);
      EXPECT_LT(*first, begin + std::chrono::days(1));
    }
  }
}

// ---- in words

TEST(Cron, SaysWhatItMeans) {
  const std::vector<std::pair<std::string, std::string>> table{
      {"* * * * *", "every minute"},
      {"*/5 * * * *", "every 5 minutes"},
      {"0,30 * * * *", "every 30 minutes"},
      {"*/7 * * * *", "at minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56 of every hour"},
      {"*/59 * * * *", "at minutes 0 and 59 of every hour"},
      {"@hourly", "at minute 0 of every hour"},
      {"10-20,50 * * * *", "at minutes 10 to 20 and 50 of every hour"},
      {"30 3 * * *", "at 03:30 every day"},
      {"0 3,15 * * *", "at 03:00 and 15:00 every day"},
      {"0 */6 * * *", "at 00:00, 06:00, 12:00 and 18:00 every day"},
      {"0 */2 * * *", "at minute 0 of every 2nd hour"},
      {"0 */3 * * *", "at minute 0 of every 3rd hour"},
      {"* */4 * * *", "every minute of every 4th hour"},
      {"*/15 9-17 * * MON-FRI", "every 15 minutes of hours 9 to 17 on Mondays to Fridays"},
      {"* 2 * * *", "every minute of hour 2"},
      {"30 3 * * 1", "at 03:30 on Mondays"},
      {"30 3 * * SAT,SUN", "at 03:30 on Sundays and Saturdays"},
      {"30 3 1 * *", "at 03:30 on day 1 of the month"},
      {"30 3 1,15 * *", "at 03:30 on days 1 and 15 of the month"},
      {"30 3 L * *", "at 03:30 on the last day of the month"},
      {"30 3 15,L * *", "at 03:30 on day 15 and the last day of the month"},
      {"30 3 * * FRIL", "at 03:30 on the last Friday of the month"},
      {"30 3 * * MON#2", "at 03:30 on the second Monday of the month"},
      {"30 3 1 * 1", "at 03:30 on Mondays and on day 1 of the month (either)"},
      {"30 3 1 * */2",
       "at 03:30 on day 1 of the month and also on Sundays, Tuesdays, Thursdays and Saturdays "
       "(both)"},
      {"30 3 1-31 * 1", "at 03:30 every day"},
      {"@yearly", "at 00:00 on day 1 of the month in January"},
      {"0 0 * JUN-AUG,DEC *", "at 00:00 every day in June to August and December"},
  };
  for (const auto& [expression, words] : table) {
    EXPECT_EQ(cron::parse(expression).in_words(), words + ", UTC") << expression;
  }
  EXPECT_EQ(cron::parse("* * * * *", "Asia/Tokyo").in_words(), "every minute, Asia/Tokyo");
}

struct warning_row {
  std::string expression;
  std::string zone;
  std::vector<std::string> warnings;
};

TEST(Cron, WarnsOfWhatMaySurprise) {
  const std::string gap = "in America/New_York the clock jumps from 02:00 to 03:00 on 2027-03-14: ";
  const std::string overlap =
      "in America/New_York the clock goes back from 02:00 to 01:00 on 2027-11-07: ";
  const std::vector<warning_row> table{
      {"30 2 * * *", "UTC", {}},
      {"* * * * MON", "UTC", {}},
      {"0 0 1 * *", "America/New_York", {}},
      {"0 0 1 * 1",
       "UTC",
       {"day of month and day of week are both given, so either is enough: on day 1 of the month, "
        "and on Mondays"}},
      {"0 0 1-31 * 1",
       "UTC",
       {"day of month and day of week are both given, so either is enough: on every day of the "
        "month, and on Mondays"}},
      {"0 0 */10 * 1",
       "UTC",
       {"day of month and day of week are both given, and one begins with *, so both have to "
        "match: on days 1, 11, 21 and 31 of the month and also on Mondays"}},
      {"30 2 * * *",
       "America/New_York",
       {gap + "02:30 does not come, and it runs at 03:00 instead"}},
      {"30 1 * * *",
       "America/New_York",
       {overlap + "01:30 comes twice, and it runs the first time only"}},
      {"30 1-2 * * *",
       "America/New_York",
       {gap + "02:30 does not come, and it runs at 03:00 instead",
        overlap + "01:30 comes twice, and it runs the first time only"}},
      {"*/30 1-2 * * *",
       "America/New_York",
       {gap + "what it names there, such as 02:00, is left out",
        overlap + "what it names there, such as 01:00, runs twice"}},
      {"30 * * * *", "America/New_York", {}},
      {"30 2 * * MON", "America/New_York", {}},
      {"30 2 * * SUN#2",
       "America/New_York",
       {gap + "02:30 does not come, and it runs at 03:00 instead"}},
  };
  for (const warning_row& row : table) {
    SCOPED_TRACE(row.expression + " in " + row.zone);
    EXPECT_EQ(cron::parse(row.expression, row.zone).warnings(instant("2026-12-01T00:00:00Z")),
              row.warnings);
  }
}

TEST(Cron, WarnsOfADayThatIsLeftOut) {
  EXPECT_EQ(cron::parse("0 12 * * *", "Pacific/Apia").warnings(instant("2011-12-01T00:00:00Z")),
            std::vector<std::string>{"in Pacific/Apia the clock jumps from 00:00 to 00:00 on "
                                     "2011-12-30: the run at 12:00 is skipped"});
}

TEST(Cron, SkipsAGapOfMoreThanThreeHours) {
  EXPECT_EQ(
      shown(cron::parse("0 12 * * *", "Pacific/Apia").next_after(instant("2011-12-29T22:00:00Z"))),
      "2011-12-30T22:00:00Z");
  // Exactly three hours, Casey in October 2009, are caught up.
  EXPECT_EQ(shown(cron::parse("0 4 18 10 *", "Antarctica/Casey")
                      .next_after(instant("2009-10-17T00:00:00Z"))),
            "2009-10-17T18:00:00Z");
}

}  // namespace
}  // namespace matview
