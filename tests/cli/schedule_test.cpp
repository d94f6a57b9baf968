#include "cli_fixture.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <gtest/gtest.h>

#include <algorithm>
#include <regex>

namespace matview::test {
namespace {

namespace json = boost::json;

class CliSchedule : public cli_test {
 protected:
  CliSchedule() { db.execute("CREATE MATERIALIZED VIEW v AS SELECT 1 AS id"); }

  process_result schedule(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "schedule");
    return matview(arguments);
  }
  void set_nightly() {
    ASSERT_EQ(schedule({"set", "nightly", "--cron", "30 3 * * *", "--refresh", "v"}).exit_code, 0);
  }
  std::string stored() {
    return db.query_one("SELECT coalesce(string_agg(s::text, '|'), '') FROM matview.schedule s");
  }
};

TEST_F(CliSchedule, SetSaysWhatItMeansAndWhenItRunsNext) {
  const auto made = schedule({"set", "nightly", "--cron", "30 2 * * *", "--tz", "America/New_York",
                              "--refresh", "v", "--concurrently"});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_TRUE(contains(made.err, "nightly: at 02:30 every day, America/New_York\n")) << made.err;
  EXPECT_TRUE(contains(made.err, "warning: in America/New_York the clock jumps")) << made.err;
  EXPECT_TRUE(std::regex_search(made.err, std::regex("next: \\d{4}-\\d\\d-\\d\\dT0[67]:30:00Z\n")))
      << made.err;
  EXPECT_TRUE(contains(made.err, "no worker works on queue \"default\" now")) << made.err;
  EXPECT_TRUE(std::regex_search(
      made.out, std::regex("\nnightly +refresh v +30 2 \\* \\* \\* America/New_York +\\d{4}-.*"
                           " +active\n")))
      << made.out;
}

TEST_F(CliSchedule, SetTellsAllOfItAsJson) {
  const json::value set = json_of(schedule({"set",
                                            "purge",
                                            "--every",
                                            "10 minutes",
                                            "--sql",
                                            "DELETE FROM log",
                                            "--missed",
                                            "all",
                                            "--missed-window",
                                            "2 hours",
                                            "--overlap",
                                            "allow",
                                            "--max-failures",
                                            "3",
                                            "--queue",
                                            "slow",
                                            "--priority",
                                            "-5",
                                            "--max-attempts",
                                            "2",
                                            "--timeout",
                                            "90 seconds",
                                            "--format",
                                            "json"}));
  EXPECT_EQ(set.at("name"), "purge");
  EXPECT_EQ(set.at("task"), "sql");
  EXPECT_EQ(set.at("args").at("sql"), "DELETE FROM log");
  EXPECT_TRUE(set.at("cron").is_null());
  EXPECT_EQ(set.at("every_seconds").as_double(), 600);
  EXPECT_EQ(set.at("missed"), "all");
  EXPECT_EQ(set.at("missed_window_seconds").as_double(), 7200);
  EXPECT_EQ(set.at("overlap"), "allow");
  EXPECT_EQ(set.at("max_failures"), 3);
  EXPECT_EQ(set.at("queue"), "slow");
  EXPECT_EQ(set.at("priority"), -5);
  EXPECT_EQ(set.at("max_attempts"), 2);
  EXPECT_EQ(set.at("timeout_seconds").as_double(), 90);
  EXPECT_EQ(set.at("state"), "active");
  EXPECT_EQ(set.at("changed"), true);
  EXPECT_EQ(db.query_one("SELECT every FROM matview.schedule WHERE missed = 'all' AND overlap = "
                         "'allow' AND timeout = '90 s' AND priority = -5"),
            "00:10:00");
}

TEST_F(CliSchedule, SetAgainChangesNothingAndSaysSo) {
  set_nightly();
  const std::string before = stored();
  const auto again =
      schedule({"set", "nightly", "--cron", "30 3 * * *", "--refresh", "v", "--format", "json"});
  EXPECT_TRUE(contains(again.err, "(unchanged)")) << again.err;
  EXPECT_EQ(json_of(again).at("changed"), false);
  EXPECT_EQ(stored(), before);
}

TEST_F(CliSchedule, SetTakesATaskWithArgumentsFromAFile) {
  const auto set = schedule({"set", "mine", "--every", "1 hour", "--task", "reports.send",
                             "--args-file", folder.write("args.json", R"({"to": "ann"})")});
  EXPECT_EQ(set.exit_code, 0) << set.err;
  EXPECT_EQ(db.query_one("SELECT task || args::text FROM matview.schedule"),
            R"(reports.send{"to": "ann"})");
}

TEST_F(CliSchedule, SetTakesAStatementFromStandardInput) {
  const auto set = matview({"schedule", "set", "s", "--every", "1 hour", "--file", "-"},
                           {.input = "SELECT 1 -- as it is\n"});
  EXPECT_EQ(set.exit_code, 0) << set.err;
  EXPECT_EQ(db.query_one("SELECT args->>'sql' FROM matview.schedule"), "SELECT 1 -- as it is\n");
}

TEST_F(CliSchedule, ListsWhatThereIs) {
  set_nightly();
  ASSERT_EQ(schedule({"set", "hourly", "--every", "1 hour", "--sql", "SELECT 1"}).exit_code, 0);
  const auto listed = schedule({"list"});
  EXPECT_TRUE(listed.out.starts_with("NAME")) << listed.out;
  EXPECT_TRUE(contains(listed.out, "every 1 hour")) << listed.out;
  const json::value all = json_of(schedule({"list", "--format", "json"}));
  ASSERT_EQ(all.as_array().size(), 2U);
  EXPECT_EQ(all.at(0).at("name"), "hourly");
  EXPECT_EQ(all.at(1).at("meaning"), "at 03:30 every day, UTC");
}

TEST_F(CliSchedule, ListsNothingAsNothingAndSaysSo) {
  set_nightly();
  ASSERT_EQ(schedule({"remove", "nightly"}).exit_code, 0);
  const auto listed = schedule({"list"});
  EXPECT_EQ(listed.out, "");
  EXPECT_TRUE(contains(listed.err, "no schedules")) << listed.err;
  EXPECT_EQ(json_of(schedule({"list", "--format", "json"})).as_array().size(), 0U);
}

TEST_F(CliSchedule, ShowTellsTheNextTicksAndTheSkippedOnes) {
  set_nightly();
  db.execute(
      "INSERT INTO matview.skipped_tick (schedule, first, last, outcome, reason) VALUES ('nightly',"
      " '2026-11-20T03:30Z', '2026-11-21T03:30Z', 'missed', 'no worker ran')");
  const std::string shown = schedule({"show", "nightly"}).out;
  const std::regex next("next +\\d{4}-\\d\\d-\\d\\dT03:30:00Z\n");
  EXPECT_EQ(std::distance(std::sregex_iterator(shown.begin(), shown.end(), next), {}), 5) << shown;
  EXPECT_TRUE(contains(shown, "2026-11-20T03:30:00Z to 2026-11-21T03:30:00Z missed: no worker ran"))
      << shown;
  const json::value all = json_of(schedule({"show", "nightly", "--format", "json"}));
  EXPECT_EQ(all.at("next").as_array().size(), 5U);
  EXPECT_EQ(all.at("skipped").at(0).at("outcome"), "missed");
}

TEST_F(CliSchedule, NextListsTicksALineLikeCron) {
  set_nightly();
  const std::string next = schedule({"next", "nightly", "--count", "3"}).out;
  EXPECT_EQ(next, matview({"cron", "30 3 * * *", "--count", "3"}).out);
  EXPECT_EQ(std::count(next.begin(), next.end(), '\n'), 3);
}

TEST_F(CliSchedule, PausedItHasNoNextTickAndResumedItHas) {
  set_nightly();
  EXPECT_EQ(json_of(schedule({"pause", "nightly", "--format", "json"})).at(0).at("paused"), true);
  json::value shown = json_of(schedule({"show", "nightly", "--format", "json"}));
  EXPECT_EQ(shown.at("state"), "paused");
  EXPECT_TRUE(shown.at("next_at").is_null());
  EXPECT_TRUE(contains(schedule({"next", "nightly"}).err, "nightly is paused"));
  EXPECT_TRUE(contains(schedule({"set", "nightly", "--cron", "30 4 * * *", "--refresh", "v"}).err,
                       "matview schedule resume nightly"));
  EXPECT_EQ(schedule({"resume", "nightly"}).exit_code, 0);
  shown = json_of(schedule({"show", "nightly", "--format", "json"}));
  EXPECT_EQ(shown.at("state"), "active");
  EXPECT_TRUE(shown.at("next_at").is_string());
}

TEST_F(CliSchedule, SuspendedItSaysWhy) {
  set_nightly();
  db.execute("UPDATE matview.schedule SET paused_at = now(), paused_why = 'ten failures in a row'");
  EXPECT_TRUE(contains(schedule({"list"}).out, "suspended: ten failures in a row"));
  EXPECT_EQ(json_of(schedule({"list", "--format", "json"})).at(0).at("state"), "suspended");
}

TEST_F(CliSchedule, RunNowPrintsTheIdOfTheJob) {
  set_nightly();
  const auto run = schedule({"run-now", "nightly"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.out, db.query_one("SELECT id FROM matview.job WHERE schedule = 'nightly'") + '\n');
  EXPECT_TRUE(json_of(schedule({"run-now", "nightly", "--format", "json"})).at("id").is_int64());
}

TEST_F(CliSchedule, RemoveIsFineWithoutOneUnlessItMustExist) {
  set_nightly();
  EXPECT_TRUE(contains(schedule({"remove", "nightly"}).out, "removed"));
  const auto again = schedule({"remove", "nightly"});
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_TRUE(contains(again.out, "was not there")) << again.out;
  expect_refusal(schedule({"remove", "nightly", "--must-exist"}), 2,
                 {"no schedule \"nightly\"", "matview schedule list"});
}

struct bad_schedule {
  std::string name;
  std::vector<std::string> arguments;
  int exit_code;
  std::vector<std::string> said;
};
class CliBadSchedule : public CliSchedule, public testing::WithParamInterface<bad_schedule> {};

TEST_P(CliBadSchedule, IsRefusedAndNothingIsMade) {
  set_nightly();
  const std::string before = stored();
  expect_refusal(schedule(GetParam().arguments), GetParam().exit_code, GetParam().said);
  EXPECT_EQ(stored(), before);
}

using several = std::vector<bad_schedule>;

INSTANTIATE_TEST_SUITE_P(
    Each, CliBadSchedule,
    testing::ValuesIn(several{
        {"WithoutACommand", {}, 2, {"set, list, show", "matview schedule --help"}},
        {"MistypedCommand", {"lits"}, 2, {"\"lits\"", "did you mean list?"}},
        {"MistypedOption",
         {"set", "n", "--evry", "1 hour"},
         2,
         {"did you mean --every?", "matview schedule set --help"}},
        {"UnknownView",
         {"set", "n", "--every", "1 hour", "--refresh", "nope"},
         1,
         {"no materialized view \"nope\"", "matview list"}},
        {"BadIdentifier",
         {"set", "n", "--every", "1 hour", "--refresh", "v; DROP TABLE t"},
         2,
         {"v; DROP TABLE t"}},
        {"UnknownZone",
         {"set", "n", "--cron", "@daily", "--tz", "Europe/Berln", "--refresh", "v"},
         2,
         {"did you mean Europe/Berlin?"}},
        {"NeverFires",
         {"set", "n", "--cron", "0 0 30 2 *", "--refresh", "v"},
         2,
         {"this day never comes", "line 1: 0 0 30 2 *\n              ^"}},
        {"EveryZero",
         {"set", "n", "--every", "0 seconds", "--refresh", "v"},
         2,
         {"0 seconds is too short", "at least 1 second"}},
        {"NoInterval", {"set", "n", "--every", "often", "--refresh", "v"}, 2, {"often"}},
        {"TimeoutZero",
         {"set", "n", "--every", "1 hour", "--refresh", "v", "--timeout", "0 seconds"},
         2,
         {"the timeout is 0"}},
        {"NoTime", {"set", "n", "--refresh", "v"}, 2, {"--cron", "--every"}},
        {"TwoTimes",
         {"set", "n", "--cron", "@daily", "--every", "1 hour", "--refresh", "v"},
         2,
         {"--cron", "--every"}},
        {"NoWork", {"set", "n", "--every", "1 hour"}, 2, {"--refresh", "--sql", "--task"}},
        {"ArgumentsThatAreNoObject",
         {"set", "n", "--every", "1 hour", "--task", "t", "--args", "[1]"},
         2,
         {"no JSON object"}},
        {"ConcurrentlyOfNoView",
         {"set", "n", "--every", "1 hour", "--sql", "SELECT 1", "--concurrently"},
         2,
         {"--concurrently requires --refresh"}},
        {"UnknownPolicy",
         {"set", "n", "--every", "1 hour", "--refresh", "v", "--missed", "never"},
         2,
         {"\"never\" is not skip, once or all"}},
        {"ShowOfNone", {"show", "nope"}, 2, {"no schedule \"nope\""}},
        {"PauseOfNone", {"pause", "nope"}, 2, {"no schedule \"nope\""}},
        {"ResumeOfNone", {"resume", "nope"}, 2, {"no schedule \"nope\""}},
        {"RunNowOfNone", {"run-now", "nope"}, 2, {"no schedule \"nope\""}},
        {"NextOfNone", {"next", "nope"}, 2, {"no schedule \"nope\""}},
    }),
    [](const testing::TestParamInfo<bad_schedule>& row) { return row.param.name; });

}  // namespace
}  // namespace matview::test
