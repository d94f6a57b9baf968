#include "text/rfc3339.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>
#include <vector>

namespace matview::text {
namespace {

using namespace std::chrono;

sys_time<microseconds> at(std::int64_t unix_microseconds) {
  return sys_time<microseconds>(microseconds(unix_microseconds));
}

struct read_row {
  std::string text;
  std::int64_t microseconds;
};

TEST(Rfc3339Text, IsRead) {
  const std::vector<read_row> table{
      {"1970-01-01T00:00:00Z", 0},
      {"1970-01-01t00:00:00z", 0},
      {"1970-01-01 00:00:00Z", 0},
      {"1970-01-01T00:00Z", 0},
      {"1970-01-01T01:30+01:30", 0},
      {"1969-12-31T19:00:00-05:00", 0},
      {"1970-01-01T00:00:01.5Z", 1'500'000},
      {"1970-01-01T00:00:00.000001Z", 1},
      {"1970-01-01T00:00:00.0000019Z", 1},
      {"1969-12-31T23:59:59.999999Z", -1},
      {"2016-12-31T23:59:60Z", 1'483'228'800'000'000},
      {"2024-02-29T12:00:00Z", 1'709'208'000'000'000},
      {"9999-12-31T23:59:59Z", 253'402'300'799'000'000},
      {"0000-01-01T00:00:00Z", -62'167'219'200'000'000},
  };
  for (const read_row& row : table)
    EXPECT_EQ(parse_rfc3339(row.text), at(row.microseconds)) << row.text;
}

TEST(Rfc3339Text, IsNothingElse) {
  const std::vector<std::string> table{
      "",
      "now",
      "2026-11-22",
      "2026-11-22T07:16:30",
      "2026-11-22T07Z",
      "2026-11-22T07:16:Z",
      "2026-11-22T07:16:30.Z",
      "2026-11-22T07:16:30,5Z",
      "2026-11-22T07:16.5Z",
      "2026-11-22T24:00:00Z",
      "2026-11-22T07:60:00Z",
      "2026-11-22T07:16:61Z",
      "2026-13-22T07:16:30Z",
      "2026-00-22T07:16:30Z",
      "2026-02-29T07:16:30Z",
      "2026-11-31T07:16:30Z",
      "26-11-22T07:16:30Z",
      "2026-1-22T07:16:30Z",
      "2026-11-22T07:16:30+1",
      "2026-11-22T07:16:30+0100",
      "2026-11-22T07:16:30+24:00",
      "2026-11-22T07:16:30 +01:00",
      "2026-11-22T07:16:30Z ",
      " 2026-11-22T07:16:30Z",
      "2026-11-22T07:16:30ZZ",
      "-2026-11-22T07:16:30Z",
      "2026-11-22T07:16:30Z\n",
  };
  for (const std::string& text : table) EXPECT_EQ(parse_rfc3339(text), std::nullopt) << text;
}

TEST(Rfc3339Text, IsWrittenWithAnOffset) {
  const sys_seconds instant(seconds(1'795'332'990));
  EXPECT_EQ(to_rfc3339(instant), "2026-11-22T07:36:30Z");
  EXPECT_EQ(to_rfc3339(instant, hours(0)), "2026-11-22T07:36:30+00:00");
  EXPECT_EQ(to_rfc3339(instant, hours(5) + minutes(45)), "2026-11-22T13:21:30+05:45");
  EXPECT_EQ(to_rfc3339(instant, -(hours(9) + minutes(30))), "2026-11-21T22:06:30-09:30");
  EXPECT_EQ(to_rfc3339(instant, -minutes(30)), "2026-11-22T07:06:30-00:30");
  EXPECT_EQ(to_rfc3339(instant, -(minutes(44) + seconds(30))), "2026-11-22T06:52:30-00:44");
}

RC_GTEST_PROP(Rfc3339TextProperty, WhatIsWrittenIsReadAgain, ()) {
  const sys_seconds instant(
      seconds(*rc::gen::inRange<std::int64_t>(-60'000'000'000, 250'000'000'000)));
  const seconds offset(*rc::gen::inRange(-86'340, 86'341));
  RC_ASSERT(parse_rfc3339(to_rfc3339(instant)) == instant);
  RC_ASSERT(parse_rfc3339(to_rfc3339(instant, offset)) == instant);
}

}  // namespace
}  // namespace matview::text
