#include "text/time_zone.hpp"

#include "support/refusal.hpp"
#include "support/system_time.hpp"
#include <matview/error.hpp>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace matview::text {
namespace {

using namespace std::chrono;
using test::refusal;
using test::system_zone;

sys_seconds at(std::int64_t unix_time) {
  return sys_seconds(seconds(unix_time));
}

local_seconds local(int y, unsigned m, unsigned d, int hour, int minute) {
  return local_days(year(y) / month(m) / day(d)) + hours(hour) + minutes(minute);
}

const std::filesystem::path zone_folder = "/usr/share/zoneinfo";

std::string content_of(const std::string& name) {
  std::ifstream file(zone_folder / name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The same zone as a slim file (RFC 8536 allows it, and most systems have these): the table of
// 64-bit times is cut to none, and only the rule is left.
std::string rule_alone(const std::string& rule) {
  const std::string counts(
      "\0\0\0\0"
      "\0\0\0\0"
      "\0\0\0\0"
      "\0\0\0\0"
      "\0\0\0\1"
      "\0\0\0\4",
      24);
  const std::string header = "TZif2" + std::string(15, '\0') + counts;
  const std::string body = std::string(6, '\0') + std::string("LMT\0", 4);
  return header + body + header + body + "\n" + rule + "\n";
}

// ---- the C library as the witness

TEST(TimeZone, AgreesWithTheCLibraryInEveryZoneFrom1970To2100) {
  const std::time_t end = test::begin_of_year(2101);
  std::size_t changes = 0;
  for (const std::string& name : test::system_zone_names()) {
    SCOPED_TRACE(name);
    const time_zone zone = time_zone::load(name);
    const system_zone witness(name);
    for (sys_seconds instant = at(0); instant < at(end);) {
      const zone_period period = zone.at(instant);
      ASSERT_LE(period.begin, instant);
      ASSERT_GT(period.end, instant);
      const std::time_t last = std::min(period.end, at(end)).time_since_epoch().count() - 1;
      for (std::time_t t = instant.time_since_epoch().count(); t <= last; t += 8'640'000) {
        ASSERT_EQ(period.offset.count(), witness.offset(t)) << t;
      }
      ASSERT_EQ(period.offset.count(), witness.offset(last)) << last;
      ASSERT_EQ(period.abbreviation, witness.local(last).tm_zone) << last;
      instant = period.end;
      ++changes;
    }
  }
  EXPECT_GT(changes, 30'000U);  // So much summer time there is.
}

RC_GTEST_PROP(TimeZoneProperty, AgreesWithTheCLibraryAtAnyInstant, ()) {
  const std::string name = *rc::gen::elementOf(test::system_zone_names());
  const time_zone zone = time_zone::load(name);
  const system_zone witness(name);
  for (const auto instant : *rc::gen::container<std::vector<std::int64_t>>(
           20, rc::gen::inRange<std::int64_t>(0, test::begin_of_year(2101)))) {
    RC_ASSERT(zone.at(at(instant)).offset.count() == witness.offset(instant));
  }
}

// ---- gaps and overlaps

TEST(TimeZone, ArrivesOnTheFirstPassAndAtTheEndOfAGap) {
  struct row {
    const char* why;
    const char* zone;
    local_seconds time;
    std::int64_t instant;
    hours gap;
  };
  const std::vector<row> table{
      {"plain", "America/New_York", local(2026, 1, 15, 12, 0), 1'768'496'400, hours(0)},
      {"before a gap", "America/New_York", local(2026, 3, 8, 1, 59), 1'772'953'140, hours(0)},
      {"begin of a gap", "America/New_York", local(2026, 3, 8, 2, 0), 1'772'953'200, hours(1)},
      {"end of a gap", "America/New_York", local(2026, 3, 8, 2, 59), 1'772'953'200, hours(1)},
      {"after a gap", "America/New_York", local(2026, 3, 8, 3, 0), 1'772'953'200, hours(0)},
      {"in an overlap", "America/New_York", local(2026, 11, 1, 1, 30), 1'793'511'000, hours(0)},
      {"after an overlap", "America/New_York", local(2026, 11, 1, 2, 0), 1'793'516'400, hours(0)},
      {"a day that was left out", "Pacific/Apia", local(2011, 12, 30, 12, 0), 1'325'239'200,
       hours(24)},
      {"past the table", "Europe/Berlin", local(2099, 3, 29, 2, 30), 4'078'429'200, hours(1)},
  };
  for (const row& row : table) {
    SCOPED_TRACE(row.why);
    const time_zone::arrival arrival = time_zone::load(row.zone).arrives(row.time);
    EXPECT_EQ(arrival.instant, at(row.instant));
    EXPECT_EQ(arrival.gap, row.gap);
    EXPECT_EQ(arrival.continues, time_zone::load(row.zone).local(arrival.instant));
  }
}

TEST(TimeZone, KeepsWhatTheClockHasShownBeforeItWentBack) {
  const time_zone zone = time_zone::load("America/New_York");
  const sys_seconds change = at(1'793'512'800);  // 2026-11-01, 02:00 becomes 01:00
  EXPECT_EQ(zone.unreached(change - seconds(1)), local(2026, 11, 1, 2, 0));
  EXPECT_EQ(zone.unreached(change), local(2026, 11, 1, 2, 0));
  EXPECT_EQ(zone.unreached(change + minutes(59)), local(2026, 11, 1, 2, 0));
  EXPECT_EQ(zone.unreached(change + hours(1)), local(2026, 11, 1, 2, 0) + seconds(1));
}

// ---- names

TEST(TimeZone, RefusesWhatIsNoName) {
  struct row {
    const char* why;
    std::string name;
    std::string_view hint;
  };
  const std::vector<row> table{
      {"empty", "", "IANA"},
      {"unknown", "Middle/Earth", "IANA"},
      {"a letter is wrong", "Europe/Berln", "did you mean Europe/Berlin?"},
      {"lower case", "europe/berlin", "did you mean Europe/Berlin?"},
      {"the city alone", "new_york", "did you mean America/New_York?"},
      {"lower-case UTC", "utc", "did you mean UTC?"},
      {"a folder", "Europe", "IANA"},
      {"a slash at the end", "Europe/Berlin/", "did you mean Europe/Berlin?"},
      {"absolute", "/usr/share/zoneinfo/UTC", "IANA"},
      {"out of the folder", "../../../etc/passwd", "IANA"},
      {"out of the folder and back", "Europe/../UTC", "IANA"},
      {"a colon, as in $TZ", ":UTC", "did you mean UTC?"},
      {"a POSIX rule", "EST5EDT,M3.2.0,M11.1.0", "IANA"},
      {"with leap seconds", "right/UTC", "IANA"},
      {"another folder", "posix/UTC", "IANA"},
      {"a setting of this machine", "localtime", "IANA"},
      {"a file that is no zone", "zone1970.tab", "IANA"},
      {"NUL", std::string("UTC\0", 4), "did you mean UTC?"},
      {"newline", "UTC\n", "did you mean UTC?"},
      {"very long", std::string(100'000, 'A'), "IANA"},
  };
  for (const row& row : table) {
    SCOPED_TRACE(row.why);
    const auto thrown = refusal([&] { return time_zone::load(row.name); });
    ASSERT_TRUE(thrown);
    EXPECT_EQ(thrown->code(), errc::invalid_cron);
    EXPECT_EQ(thrown->position(), std::nullopt);
    EXPECT_NE(thrown->hint().find(row.hint), std::string::npos) << thrown->hint();
    EXPECT_LT(std::string_view(thrown->what()).size(), 200U);
  }
}

class folder_of_zones final {
 public:
  folder_of_zones() {
    std::string made = (std::filesystem::temp_directory_path() / "matview-zones-XXXXXX").string();
    if (::mkdtemp(made.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = made;
    ::setenv("TZDIR", made.c_str(), 1);
  }
  ~folder_of_zones() {
    ::unsetenv("TZDIR");
    std::filesystem::remove_all(path_);
  }
  folder_of_zones(const folder_of_zones&) = delete;
  folder_of_zones& operator=(const folder_of_zones&) = delete;

  void add(const std::string& name, const std::string& content) const {
    std::ofstream(path_ / name, std::ios::binary) << content;
  }
  void remove() const { std::filesystem::remove_all(path_); }

 private:
  std::filesystem::path path_;
};

TEST(TimeZone, ReadsTheFolderThatTheEnvironmentNames) {
  const folder_of_zones folder;
  folder.add("Mine", rule_alone("ABC-3"));
  EXPECT_EQ(time_zone::load("Mine").at(at(0)).offset, hours(3));
  EXPECT_EQ(time_zone::load("Mine").at(at(0)).abbreviation, "ABC");
  EXPECT_TRUE(refusal([] { return time_zone::load("UTC"); }));
}

TEST(TimeZone, TellsThatTheFolderIsMissing) {
  const folder_of_zones folder;
  folder.remove();
  const auto thrown = refusal([] { return time_zone::load("UTC"); });
  ASSERT_TRUE(thrown);
  EXPECT_NE(thrown->hint().find("tzdata"), std::string::npos);
}

// ---- content

TEST(TimeZone, FollowsTheRuleWhereThereIsNoTable) {
  for (const std::string name : {"America/New_York", "America/Nuuk", "Asia/Gaza", "Europe/Dublin",
                                 "Australia/Lord_Howe", "Antarctica/Troll", "Pacific/Easter"}) {
    SCOPED_TRACE(name);
    const std::string whole = content_of(name);
    const std::size_t rule = whole.rfind('\n', whole.size() - 2) + 1;
    const time_zone slim =
        time_zone::from_tzif("slim", rule_alone(whole.substr(rule, whole.size() - rule - 1)));
    const system_zone witness(name);
    for (std::time_t t = test::begin_of_year(2088); t < test::begin_of_year(2092); t += 18'000) {
      ASSERT_EQ(slim.at(at(t)).offset.count(), witness.offset(t)) << t;
    }
  }
}

TEST(TimeZone, ReadsEveryFormOfARule) {
  struct row {
    const char* rule;
    std::int64_t instant;
    seconds offset;
  };
  const std::vector<row> table{
      {"UTC0", 0, hours(0)},
      {"<+0545>-5:45", 0, hours(5) + minutes(45)},
      {"LMT0:44:30", 0, -(minutes(44) + seconds(30))},
      // J60 is March 1 in any year; 59, counted from 0, is February 29 in a leap year.
      {"AAA0BBB,J59/0,J300", 951'695'999, hours(0)},  // 2000-02-27T23:59:59Z
      {"AAA0BBB,J59/0,J300", 951'696'000, hours(1)},  // 2000-02-28
      {"AAA0BBB,J60/0,J300", 951'868'799, hours(0)},  // 2000-02-29T23:59:59Z
      {"AAA0BBB,J60/0,J300", 951'868'800, hours(1)},  // 2000-03-01
      {"AAA0BBB,59/0,300", 951'782'399, hours(0)},    // 2000-02-28T23:59:59Z
      {"AAA0BBB,59/0,300", 951'782'400, hours(1)},    // 2000-02-29
      {"AAA0BBB-3,J60/0,J300", 951'868'800, hours(3)},
      // Summer all year, as RFC 8536 writes it.
      {"ABC3EDT4,0/0,J365/23", 946'684'800, -hours(4)},
      {"ABC3EDT4,0/0,J365/23", 946'695'600, -hours(4)},
      {"ABC3EDT4,0/0,J365/23", 962'409'600, -hours(4)},
  };
  for (const row& row : table) {
    SCOPED_TRACE(row.rule);
    EXPECT_EQ(time_zone::from_tzif("z", rule_alone(row.rule)).at(at(row.instant)).offset,
              row.offset);
  }
}

TEST(TimeZone, RefusesWhatIsNoRule) {
  for (const char* rule :
       {"U0", "UTC", "<UTC0", "UTC25", "UTC0:60", "EST5EDT", "EST5EDT,M3.2.0", "EST5EDT,M3.2.0,",
        "EST5EDT,M13.2.0,M11.1.0", "EST5EDT,M3.6.0,M11.1.0", "EST5EDT,M3.2.7,M11.1.0",
        "EST5EDT,M3.2.0/168,M11.1.0", "EST5EDT,J0,J365", "EST5EDT,J366,J1", "EST5EDT,366,1",
        "EST5EDT,M3.2.0,M11.1.0,", "EST5EDT,M3.2.0,M11.1.0 "}) {
    SCOPED_TRACE(rule);
    const auto thrown = refusal([&] { return time_zone::from_tzif("z", rule_alone(rule)); });
    ASSERT_TRUE(thrown);
    EXPECT_EQ(thrown->code(), errc::invalid_cron);
    EXPECT_NE(std::string_view(thrown->what()).find("is not a rule"), std::string_view::npos);
  }
}

TEST(TimeZone, RefusesAFileCutAnywhere) {
  const std::string whole = content_of("Asia/Kathmandu");
  ASSERT_FALSE(refusal([&] { return time_zone::from_tzif("z", whole); }));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto thrown = refusal([&] { return time_zone::from_tzif("z", whole.substr(0, size)); });
    ASSERT_TRUE(thrown) << size;
    ASSERT_EQ(thrown->code(), errc::invalid_cron);
  }
}

TEST(TimeZone, RefusesLeapSeconds) {
  const auto thrown =
      refusal([&] { return time_zone::from_tzif("z", content_of("right/Europe/Berlin")); });
  ASSERT_TRUE(thrown);
  EXPECT_NE(std::string_view(thrown->what()).find("leap seconds"), std::string_view::npos);
}

RC_GTEST_PROP(TimeZoneProperty, DamagedContentIsRefusedOrStillAZone, ()) {
  std::string content =
      content_of(*rc::gen::element<std::string>("Asia/Kathmandu", "America/Nuuk"));
  for (int changes = *rc::gen::inRange(1, 4); changes > 0; --changes) {
    content.at(*rc::gen::inRange<std::size_t>(0, content.size())) = *rc::gen::arbitrary<char>();
  }
  const auto thrown = refusal([&] {
    const time_zone zone = time_zone::from_tzif("z", content);
    for (const std::int64_t t : {-5'000'000'000, 0L, 1'900'000'000L, 4'000'000'000L}) {
      const zone_period period = zone.at(at(t));
      RC_ASSERT(period.begin <= at(t));
      RC_ASSERT(period.end > at(t));
      RC_ASSERT(zone.arrives(zone.unreached(at(t))).instant > at(t));
    }
    return 0;
  });
  if (thrown) RC_ASSERT(thrown->code() == errc::invalid_cron);
}

}  // namespace
}  // namespace matview::text
