#include "support/hostile_text.hpp"
#include "support/refusal.hpp"
#include "support/statement_shape.hpp"
#include <matview/error.hpp>
#include <matview/interval.hpp>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <limits>
#include <map>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

namespace matview {
namespace {

using namespace std::chrono_literals;
using test::refusal;

constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();

const std::map<std::string, std::int64_t>& units() {
  static const std::map<std::string, std::int64_t> all{
      {"microsecond", 1},        {"millisecond", 1'000},       {"second", 1'000'000},
      {"minute", 60'000'000},    {"hour", 3'600'000'000},      {"day", 86'400'000'000},
      {"week", 604'800'000'000}, {"month", 2'592'000'000'000}, {"year", 31'557'600'000'000},
  };
  return all;
}

struct accepted_row {
  std::string given;
  std::string text;
  std::chrono::microseconds length;
};

TEST(Interval, ReadsWholeNumberAndUnit) {
  const std::vector<accepted_row> table{
      {"5 minutes", "5 minutes", 5min},
      {"1 minute", "1 minute", 1min},
      {"1 minutes", "1 minutes", 1min},
      {"2 minute", "2 minute", 2min},
      {"0 seconds", "0 seconds", 0s},
      {"007 days", "7 days", 168h},
      {"5    hours", "5 hours", 5h},
      {"5 MiNuTeS", "5 minutes", 5min},
      {"  5 minutes", "5 minutes", 5min},
      {"5 minutes  ", "5 minutes", 5min},
      {"\t 5 minutes \t", "5 minutes", 5min},
      {"1 month", "1 month", 720h},
      {"4 years", "4 years", 1461 * 24h},
      {"00000000000000000000000000001 second", "1 second", 1s},
      {"9223372036854775807 microseconds", "9223372036854775807 microseconds",
       std::chrono::microseconds(most)},
  };
  for (const accepted_row& row : table) {
    SCOPED_TRACE(row.given);
    const interval read = interval::parse(row.given);
    EXPECT_EQ(read.text(), row.text);
    EXPECT_EQ(read.to_duration(), row.length);
  }
}

TEST(Interval, KnowsEveryUnit) {
  for (const auto& [unit, length] : units()) {
    EXPECT_EQ(interval::parse("1 " + unit).to_duration().count(), length) << unit;
    EXPECT_EQ(interval::parse("3 " + unit + "s").to_duration().count(), 3 * length) << unit;
  }
}

struct refused {
  const char* why;
  std::string text;
  std::string_view says;
};

TEST(Interval, RefusesEverythingElse) {
  const std::vector<refused> table{
      {"empty", "", "it is empty"},
      {"only blanks", " \t ", "it is empty"},
      {"no number", "minutes", "does not begin with a whole number"},
      {"no unit", "5", "the unit is missing"},
      {"no unit but a blank", "5 ", "the unit is missing"},
      {"no space", "5minutes", "a space must stand"},
      {"tab between", "5\tminutes", "a space must stand"},
      {"newline between", "5\nminutes", "a space must stand"},
      {"trailing newline", "5 minutes\n", R"("minutes\n" is not a unit)"},
      {"leading newline", "\n5 minutes", "does not begin with a whole number"},
      {"negative", "-5 minutes", "does not begin with a whole number"},
      {"sign", "+5 minutes", "does not begin with a whole number"},
      {"fraction", "1.5 hours", "a space must stand"},
      {"exponent", "1e3 seconds", "a space must stand"},
      {"abbreviation", "5 min", R"("min" is not a unit)"},
      {"unknown unit", "5 fortnights", R"("fortnights" is not a unit)"},
      {"plural of the plural", "5 minutess", "is not a unit"},
      {"two terms", "1 day 2 hours", "is not a unit"},
      {"words after it", "5 minutes ago", "is not a unit"},
      {"quote", "5 minutes'", "is not a unit"},
      {"statement", "5 minutes'; DROP TABLE t; --", "is not a unit"},
      {"NUL", std::string("5 minutes\0", 10), R"(\x00)"},
      {"digits outside ASCII", "\xD9\xA5 minutes", "does not begin with a whole number"},
      {"no-break space", "5\xC2\xA0minutes", "a space must stand"},
      {"letter outside ASCII that lower-cases to k", "5 wee\xE2\x84\xAA", "is not a unit"},
      {"just too long", "9223372036854775808 microseconds", "it is too long"},
      {"too long by its unit", "292272 years", "it is too long"},
      {"far too long", std::string(1000, '9') + " years", "it is too long"},
  };
  for (const refused& row : table) {
    SCOPED_TRACE(row.why);
    const auto thrown = refusal([&] { return interval::parse(row.text); });
    ASSERT_TRUE(thrown);
    EXPECT_EQ(thrown->code(), errc::invalid_interval);
    EXPECT_NE(std::string_view(thrown->what()).find(row.says), std::string_view::npos)
        << thrown->what();
    EXPECT_NE(thrown->hint().find("5 minutes"), std::string::npos);
    EXPECT_LT(std::string_view(thrown->what()).size(), 250U);
  }
}

TEST(Interval, ComparesByLength) {
  EXPECT_EQ(interval::parse("60 seconds"), interval::parse("1 minute"));
  EXPECT_LT(interval::parse("59 seconds"), interval::parse("1 minute"));
  EXPECT_GT(interval::parse("1 year"), interval::parse("12 months"));
}

bool accepted(const std::string& text) {
  return !refusal([&] { return interval::parse(text); });
}

__extension__ using wide = unsigned __int128;

// An oracle that shares nothing with the code: a regular expression and 128 bits.
bool allowed(const std::string& text) {
  static const std::regex allowlist(
      "[ \\t]*([0-9]+) +"
      "(microsecond|millisecond|second|minute|hour|day|week|month|year)s?[ \\t]*",
      std::regex::icase);
  std::smatch match;
  if (!std::regex_match(text, match, allowlist)) return false;
  std::string unit = match[2];
  for (char& c : unit) c = static_cast<char>(c | 0x20);
  wide length = 0;
  for (const char c : match[1].str()) {
    length = length * 10 + static_cast<unsigned>(c - '0');
    if (length > static_cast<wide>(most)) return false;
  }
  return length * static_cast<wide>(units().at(unit)) <= static_cast<wide>(most);
}

void keeps_promise(const std::string& text) {
  RC_TAG(accepted(text) ? "accepted" : "refused");
  RC_ASSERT(accepted(text) == allowed(text));
  if (accepted(text)) {
    const interval read = interval::parse(text);
    RC_ASSERT(read.to_duration().count() >= 0);
    RC_ASSERT(test::keeps_shape(read));
    const interval again = interval::parse(read.text());
    RC_ASSERT(again.text() == read.text());
    RC_ASSERT(again == read);
  }
}

rc::Gen<std::string> good_interval() {
  std::vector<std::string> names;
  for (const auto& unit : units()) names.push_back(unit.first);
  return rc::gen::apply(
      [](std::uint64_t count, int spaces, const std::string& unit, bool plural) {
        return std::to_string(count) + std::string(static_cast<std::size_t>(spaces), ' ') + unit +
               (plural ? "s" : "");
      },
      rc::gen::oneOf(rc::gen::inRange<std::uint64_t>(0, 100'000),
                     rc::gen::arbitrary<std::uint64_t>()),
      rc::gen::inRange(1, 4), rc::gen::elementOf(names), rc::gen::arbitrary<bool>());
}

RC_GTEST_PROP(IntervalProperty, AcceptedTextIsOneConstant, ()) {
  keeps_promise(*good_interval());
}

RC_GTEST_PROP(IntervalProperty, HostileTextNeverChangesTheStatement, ()) {
  keeps_promise(*test::hostile_text({"5", " ", "minutes", "day", "5 hours"}));
}

RC_GTEST_PROP(IntervalProperty, TamperedTextNeverChangesTheStatement, ()) {
  keeps_promise(*test::tampered(good_interval()));
}

RC_GTEST_PROP(IntervalProperty, OverflowBeginsWhereSixtyFourBitsEnd, ()) {
  const auto [unit, length] = *rc::gen::elementOf(
      std::vector<std::pair<std::string, std::int64_t>>(units().begin(), units().end()));
  const auto beyond = *rc::gen::inRange(-3, 4);
  const auto count = static_cast<std::uint64_t>(most / length) + static_cast<std::uint64_t>(beyond);
  const std::string text = std::to_string(count) + " " + unit;
  RC_ASSERT(accepted(text) == (beyond <= 0));
  RC_ASSERT(accepted(text) == allowed(text));
}

}  // namespace
}  // namespace matview
