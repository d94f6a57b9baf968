#include "cli_fixture.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <gtest/gtest.h>

#include <regex>

namespace matview::test {
namespace {

namespace json = boost::json;

// Jobs as they are put in and looked at; no worker runs, so they stay as they are.
class CliJobs : public cli_test {
 protected:
  CliJobs() {
    db.execute("CREATE TABLE t AS SELECT 1 AS id; CREATE MATERIALIZED VIEW v AS SELECT id FROM t");
  }
  std::string put(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "enqueue");
    const auto done = matview(arguments);
    EXPECT_EQ(done.exit_code, 0) << done.err;
    std::string id = done.out;
    if (!id.empty()) id.pop_back();
    return id;
  }
  process_result jobs(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "jobs");
    return matview(arguments);
  }
  std::string state(const std::string& id) {
    return db.query_one("SELECT state FROM matview.job WHERE id = " + id);
  }
  void bury(const std::string& id) {
    db.execute(
        "UPDATE matview.job SET state = 'dead', attempt = 1, finished_at = now() - interval '1 "
        "hour', last_error = 'out of luck', errors = '[{\"at\": \"2026-11-22T07:16:30Z\", "
        "\"attempt\": 1, \"error\": \"out of luck\"}]' WHERE id = " +
        id);
  }
};

TEST_F(CliJobs, EnqueuePrintsTheId) {
  const auto put = matview({"enqueue", "refresh", "v", "--concurrently"});
  EXPECT_EQ(put.exit_code, 0) << put.err;
  EXPECT_EQ(put.out, "1\n");
  EXPECT_TRUE(contains(put.err, "no worker works on queue \"default\" now")) << put.err;
  EXPECT_EQ(db.query_one("SELECT task || args::text FROM matview.job"),
            R"(refresh{"view": "v", "concurrently": true})");
  EXPECT_EQ(json_of(matview({"enqueue", "sql", "SELECT 1", "--format", "json"})).at("id"), 2);
}

TEST_F(CliJobs, EnqueueTakesWhatAJobIsLike) {
  put({"task", "mine", "--args", R"({"a": 1})", "--queue", "slow", "--priority", "7",
       "--max-attempts", "2", "--delay", "1 hour", "--timeout", "5 minutes", "--dedupe", "k"});
  EXPECT_EQ(db.query_one("SELECT concat_ws(' ', queue, priority, max_attempts, timeout, dedupe, "
                         "run_at > now() + interval '59 minutes') FROM matview.job"),
            "slow 7 2 00:05:00 k t");
}

TEST_F(CliJobs, EnqueueOfAKeyThatWaitsGivesTheJobThatIsThere) {
  const std::string first = put({"refresh", "v", "--dedupe", "v"});
  EXPECT_EQ(put({"refresh", "v", "--dedupe", "v"}), first);
  EXPECT_EQ(db.query_one("SELECT count(*) FROM matview.job"), "1");
}

TEST_F(CliJobs, ListsTheNewestFirstAndOnlyWhatIsWanted) {
  put({"refresh", "v"});
  const std::string dead = put({"sql", "SELECT 1", "--queue", "slow"});
  bury(dead);
  const std::string all = jobs({"list"}).out;
  EXPECT_TRUE(std::regex_search(
      all, std::regex("\n +2 +dead +slow +sql SELECT 1 +1/5 .* out of luck\n +1 +ready ")))
      << all;
  for (const auto& which : std::vector<std::vector<std::string>>{
           {"list", "--state", "dead"}, {"--state", "dead", "list"}, {"list", "--queue", "slow"}}) {
    std::vector<std::string> arguments = which;
    arguments.insert(arguments.end(), {"--format", "json"});
    const json::value found = json_of(jobs(arguments));
    ASSERT_EQ(found.as_array().size(), 1U);
    EXPECT_EQ(found.at(0).at("id"), 2);
    EXPECT_EQ(found.at(0).at("args").at("sql"), "SELECT 1");
  }
  EXPECT_TRUE(contains(jobs({"list", "--limit", "1"}).err, "--limit shows more"));
}

TEST_F(CliJobs, ListsNothingAsNothingAndSaysSo) {
  put({"refresh", "v"});
  const auto none = jobs({"list", "--state", "dead"});
  EXPECT_EQ(none.out, "");
  EXPECT_TRUE(contains(none.err, "no jobs")) << none.err;
}

TEST_F(CliJobs, ShowTellsTheErrors) {
  const std::string id = put({"refresh", "v"});
  bury(id);
  const std::string shown = jobs({"show", id}).out;
  EXPECT_TRUE(contains(shown, "2026-11-22T07:16:30Z attempt 1: out of luck")) << shown;
  const json::value all = json_of(jobs({"show", id, "--format", "json"}));
  EXPECT_EQ(all.at("state"), "dead");
  EXPECT_EQ(all.at("errors").at(0).at("error"), "out of luck");
  EXPECT_TRUE(all.at("tick").is_null());
}

TEST_F(CliJobs, RetryPutsOneBackOrAllDeadOnesOfAQueue) {
  const std::string one = put({"refresh", "v"});
  const std::string slow = put({"refresh", "v", "--queue", "slow"});
  const std::string other = put({"refresh", "v"});
  for (const std::string& id : {one, slow, other}) bury(id);
  EXPECT_EQ(jobs({"retry", one}).exit_code, 0);
  EXPECT_EQ(state(one), "ready");
  EXPECT_EQ(json_of(jobs({"retry", "--all", "--queue", "slow", "--format", "json"})).at("retried"),
            1);
  EXPECT_EQ(state(slow), "ready");
  EXPECT_EQ(state(other), "dead");
  expect_refusal(jobs({"retry", one}), 2, {"job 1 is ready"});
}

TEST_F(CliJobs, CancelEndsOneThatWaits) {
  const std::string id = put({"refresh", "v"});
  EXPECT_TRUE(contains(jobs({"cancel", id}).out, "cancelled"));
  EXPECT_EQ(state(id), "cancelled");
  expect_refusal(jobs({"cancel", id}), 2, {"job 1 is cancelled already"});
}

TEST_F(CliJobs, PurgeDeletesWhatEndedLongEnoughAgo) {
  const std::string old = put({"refresh", "v"});
  const std::string waiting = put({"refresh", "v"});
  bury(old);
  EXPECT_EQ(json_of(jobs({"purge", "--older-than", "2 hours", "--format", "json"})).at("purged"),
            0);
  EXPECT_TRUE(contains(jobs({"purge", "--older-than", "30 minutes"}).out, "1  purged"));
  EXPECT_EQ(db.query_one("SELECT string_agg(id::text, ' ') FROM matview.job"), waiting);
}

TEST_F(CliJobs, AQueueIsPausedAndResumed) {
  put({"refresh", "v"});
  EXPECT_EQ(jobs({"pause", "default"}).exit_code, 0);
  EXPECT_EQ(db.query_one("SELECT name FROM matview.queue WHERE paused_at IS NOT NULL"), "default");
  EXPECT_EQ(json_of(jobs({"resume", "default", "--format", "json"})).at("paused"), false);
  EXPECT_EQ(db.query_one("SELECT count(*) FROM matview.queue WHERE paused_at IS NOT NULL"), "0");
}

TEST_F(CliJobs, ArgumentsOfOverAMegabyteAreRefused) {
  put({"refresh", "v"});
  const std::string file =
      folder.write("args.json", R"({"a": ")" + std::string(1 << 20, 'x') + "\"}");
  expect_refusal(matview({"enqueue", "task", "mine", "--args-file", file}), 2,
                 {"1048585 bytes", "at most 1048576", "hint: keep the data in a table"});
  EXPECT_EQ(db.query_one("SELECT count(*) FROM matview.job"), "1");
}

struct bad_job {
  std::string name;
  std::vector<std::string> arguments;
  int exit_code;
  std::vector<std::string> said;
};
class CliBadJob : public CliJobs, public testing::WithParamInterface<bad_job> {};

TEST_P(CliBadJob, IsRefusedAndNothingIsChanged) {
  put({"refresh", "v"});
  const auto stored = [this] {
    return db.query_one("SELECT string_agg(j::text, '|') FROM matview.job j");
  };
  const std::string before = stored();
  expect_refusal(matview(GetParam().arguments), GetParam().exit_code, GetParam().said);
  EXPECT_EQ(stored(), before);
}

using several = std::vector<bad_job>;

INSTANTIATE_TEST_SUITE_P(
    Each, CliBadJob,
    testing::ValuesIn(several{
        {"UnknownView", {"enqueue", "refresh", "nope"}, 1, {"no materialized view \"nope\""}},
        {"ATable", {"enqueue", "refresh", "t"}, 1, {"a table, not a materialized view"}},
        {"BadIdentifier", {"enqueue", "refresh", "v v"}, 2, {"\"v v\""}},
        {"ArgumentsThatAreNoObject",
         {"enqueue", "task", "mine", "--args", "7"},
         2,
         {"no JSON object", R"({"view": "sales.daily"})"}},
        {"ArgumentsThatCannotBeRead",
         {"enqueue", "task", "mine", "--args-file", "nope.json"},
         2,
         {"nope.json", "No such file"}},
        {"TimeoutZero",
         {"enqueue", "sql", "SELECT 1", "--timeout", "0 seconds"},
         2,
         {"the timeout is 0"}},
        {"NoAttempts", {"enqueue", "sql", "SELECT 1", "--max-attempts", "0"}, 2, {"attempts of 0"}},
        {"PriorityOutOfRange",
         {"enqueue", "sql", "SELECT 1", "--priority", "40000"},
         2,
         {"from -32768 to 32767"}},
        {"NoDelay", {"enqueue", "sql", "SELECT 1", "--delay", "soon"}, 2, {"soon"}},
        {"NothingToEnqueue", {"enqueue"}, 2, {"refresh, sql, task", "matview enqueue --help"}},
        {"NoCommand", {"jobs", "--state", "dead"}, 2, {"list, show", "matview jobs --help"}},
        {"UnknownState", {"jobs", "list", "--state", "lost"}, 2, {"\"lost\" is not ready"}},
        {"ShowOfNone", {"jobs", "show", "99"}, 2, {"no job 99", "matview jobs list"}},
        {"ShowOfNoNumber", {"jobs", "show", "first"}, 2, {"first"}},
        {"ShowOfMany", {"jobs", "show", "1", "--state", "dead"}, 2, {"one by its ID"}},
        {"RetryOfNothing", {"jobs", "retry"}, 2, {"--all"}},
        {"RetryOfBoth", {"jobs", "retry", "1", "--all"}, 2, {"--all"}},
        {"CancelOfNone", {"jobs", "cancel", "99"}, 2, {"no job 99"}},
        {"PurgeWithoutAge", {"jobs", "purge"}, 2, {"--older-than"}},
        {"PurgeOfNoAge", {"jobs", "purge", "--older-than", "long"}, 2, {"long"}},
    }),
    [](const testing::TestParamInfo<bad_job>& row) { return row.param.name; });

}  // namespace
}  // namespace matview::test
