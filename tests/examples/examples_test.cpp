// The programs that the documents quote.

#include "support/process.hpp"
#include "support/server.hpp"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace matview::test
