// The programs that the documents quote.

#include "support/process.hpp"
#include "support/server.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <string>
#include <thread>

namespace matview::test {
namespace {

process_result run_example(const std::string& program, const test_database& database) {
  process running({program}, {.env = {{"MATVIEW_URL", database.url()}}});
  return running.wait();
}

TEST(Examples, QuickstartTellsRowsAndNamesAndLeavesNothing) {
  test_database database;
  const process_result result = run_example(MATVIEW_EXAMPLE_QUICKSTART, database);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "public.top_speakers has 2 rows\ntop_speakers\n");
  EXPECT_EQ(database.query_one("select count(*) from pg_matviews"), "0");
}

TEST(Examples, AsyncRefreshesTwoAndLeavesNothing) {
  test_database database;
  const process_result result = run_example(MATVIEW_EXAMPLE_ASYNC, database);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("public.a: "), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("public.b: "), std::string::npos) << result.out;
  EXPECT_EQ(database.query_one("select count(*) from pg_matviews"), "0");
}

TEST(Examples, ScheduleRefreshesAtItsTickUntilItIsToldToStop) {
  test_database database;
  database.execute(
      "CREATE TABLE t AS SELECT 1 AS id; CREATE MATERIALIZED VIEW dashboard_v AS SELECT id FROM t; "
      "CREATE UNIQUE INDEX ON dashboard_v (id); UPDATE t SET id = 2");
  process running({MATVIEW_EXAMPLE_SCHEDULE}, {.env = {{"MATVIEW_URL", database.url()}}});
  const auto becomes = [&](const std::string& query, const std::string& value) {
    const auto until = std::chrono::steady_clock::now() + 20s;
    while (std::chrono::steady_clock::now() < until) {
      if (database.query_one(query) == value) return true;
      std::this_thread::sleep_for(20ms);
    }
    return false;
  };
  ASSERT_TRUE(becomes("SELECT to_regclass('matview.worker') IS NOT NULL", "t"));
  ASSERT_TRUE(becomes("SELECT count(*) FROM matview.worker", "1"));
  // Nobody waits five minutes for a test: its next tick becomes the last one that has passed.
  database.execute(
      "UPDATE matview.schedule SET next_at = next_at - interval '5 minutes'; "
      "NOTIFY matview_schedule");
  EXPECT_TRUE(becomes("SELECT id FROM dashboard_v", "2"));
  running.send_signal(SIGTERM);
  EXPECT_EQ(running.wait().exit_code, 0);
  EXPECT_EQ(database.query_one("SELECT state FROM matview.job"), "done");
}

}  // namespace
}  // namespace matview::test
