#include "cli_fixture.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <gtest/gtest.h>

#include <algorithm>

namespace matview::test {
namespace {

namespace json = boost::json;

// Needs no database, and none is asked.
class CliCron : public cli_test {
 protected:
  process_result cron(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"cron", "--url", "postgresql://nobody@127.0.0.1:1/none"});
    return matview(arguments);
  }
};

TEST_F(CliCron, ListsTheNextFiresInUtcOneALine) {
  const auto listed = cron(
      {"30 2 * * SUN", "--tz", "America/New_York", "--after", "2027-03-10T00:00Z", "--count", "2"});
  EXPECT_EQ(listed.exit_code, 0);
  EXPECT_EQ(listed.out, "2027-03-14T07:00:00Z\n2027-03-21T06:30:00Z\n");
  EXPECT_TRUE(contains(listed.err, "at 02:30 on Sundays, America/New_York")) << listed.err;
  EXPECT_TRUE(contains(listed.err, "warning: in America/New_York the clock jumps")) << listed.err;
}

TEST_F(CliCron, AddsTheTimeOfTheZone) {
  const auto listed = cron({"@daily", "--tz", "Asia/Kathmandu", "--after",
                            "2026-11-22T00:00:00+05:45", "--count", "1", "--local"});
  EXPECT_EQ(listed.out, "2026-11-22T18:15:00Z  2026-11-23T00:00:00+05:45\n");
}

TEST_F(CliCron, ListsFiveFromNowInUtcByDefault) {
  const auto listed = cron({"* * * * *"});
  EXPECT_EQ(std::count(listed.out.begin(), listed.out.end(), '\n'), 5) << listed.out;
}

TEST_F(CliCron, SaysNothingElseWhenQuiet) {
  const auto listed = cron({"0 0 1 * 1", "--quiet"});
  EXPECT_EQ(listed.exit_code, 0);
  EXPECT_EQ(listed.err, "");
}

TEST_F(CliCron, TellsAllOfItAsJson) {
  const auto listed = cron({"0  0 1 * 1", "--tz", "Asia/Tokyo", "--after", "2026-11-22T07:16:30Z",
                            "--count", "1", "--format", "json"});
  const json::value all = json_of(listed);
  EXPECT_EQ(all.at("expression"), "0 0 1 * 1");
  EXPECT_EQ(all.at("time_zone"), "Asia/Tokyo");
  EXPECT_EQ(all.at("meaning"),
            "at 00:00 on Mondays and on day 1 of the month (either), Asia/Tokyo");
  EXPECT_EQ(all.at("warnings").as_array().size(), 1U);
  ASSERT_EQ(all.at("next").as_array().size(), 1U);
  EXPECT_EQ(all.at("next").at(0).at("at"), "2026-11-22T15:00:00Z");
  EXPECT_EQ(all.at("next").at(0).at("local"), "2026-11-23T00:00:00+09:00");
}

TEST_F(CliCron, RefusesWithThePlaceAndAHint) {
  expect_refusal(cron({"0 23-1 * * *"}), 2,
                 {"the range 23-1 goes backwards", "line 1: 0 23-1 * * *\n            ^",
                  "hint: write the two parts of it: 23,0-1"});
  expect_refusal(cron({"-1 * * * *"}), 2, {"nothing here is negative"});
  expect_refusal(cron({"0 0 30 2 *"}), 2, {"never comes", "hint: "});
  expect_refusal(cron({"@daily", "--tz", "Europe/Berln"}), 2, {"did you mean Europe/Berlin?"});
  expect_refusal(cron({"@daily", "--after", "now"}), 2, {"\"now\" is not a time", "hint: "});
  expect_refusal(cron({"@daily", "--count", "0"}), 2, {"--count", "matview cron --help"});
  expect_refusal(cron({}), 2, {"EXPR", "matview cron --help"});
}

}  // namespace
}  // namespace matview::test
