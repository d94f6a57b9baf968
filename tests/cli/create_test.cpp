#include "cli_fixture.hpp"

#include <gtest/gtest.h>

namespace matview::test {
namespace {

class CliCreate : public cli_test {};

TEST_F(CliCreate, MakesTheViewOfAQueryOnTheCommandLine) {
  const auto made = matview({"create", "v", "--sql", "SELECT 1 AS a"});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_EQ(made.err, "");
  EXPECT_TRUE(contains(made.out, "public.v"));
  EXPECT_EQ(db.query_one("SELECT a FROM v"), "1");
}

TEST_F(CliCreate, ReadsTheQueryFromAFile) {
  const std::string file = folder.write("daily sales.sql", "-- all\nSELECT 2 AS a;\n");
  EXPECT_EQ(matview({"create", "v", "--file", file}).exit_code, 0);
  EXPECT_EQ(db.query_one("SELECT a FROM v"), "2");
}

TEST_F(CliCreate, ReadsTheQueryFromAFileNamedFromWhereOneIs) {
  folder.write("daily.sql", "SELECT 2 AS a");
  EXPECT_EQ(matview({"create", "v", "--file", "daily.sql"}).exit_code, 0);
  EXPECT_EQ(db.query_one("SELECT a FROM v"), "2");
}

TEST_F(CliCreate, ReadsTheQueryFromStandardInput) {
  EXPECT_EQ(matview({"create", "v", "--file", "-"}, {.input = "SELECT 3 AS a"}).exit_code, 0);
  EXPECT_EQ(db.query_one("SELECT a FROM v"), "3");
}

TEST_F(CliCreate, ReadsAFileOfWindowsLineEndsAndAByteOrderMarkIsNamed) {
  const auto made = matview(
      {"create", "v", "--file", folder.write("windows.sql", "SELECT 1 AS a,\r\n 2 AS b\r\n")});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  const auto marked =
      matview({"create", "w", "--file", folder.write("marked.sql", "\xEF\xBB\xBFSELECT 1 AS a")});
  EXPECT_TRUE(marked.exit_code == 0 || contains(marked.err, "byte order mark")) << marked.err;
}

TEST_F(CliCreate, LeavesTheViewEmptyWithNoData) {
  const auto made = matview({"create", "v", "--no-data", "--sql", "SELECT 1/0 AS a -- never run"});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_EQ(db.query_one("SELECT ispopulated FROM pg_matviews"), "f");
}

TEST_F(CliCreate, LeavesAnExistingViewAloneWithIfNotExists) {
  db.execute("CREATE MATERIALIZED VIEW v AS SELECT 1 AS a");
  const std::string before = catalog();
  const auto again = matview({"create", "v", "--if-not-exists", "--sql", "SELECT 2 AS a"});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_TRUE(contains(again.out, "there already")) << again.out;
  EXPECT_EQ(catalog(), before);
  EXPECT_EQ(db.query_one("SELECT a FROM v"), "1");
}

TEST_F(CliCreate, MakesIndexesAndTheCommentWithTheView) {
  const auto made = matview({"create", "v", "--unique-index", "a, b", "--index", "b", "--index=a",
                             "--comment", "it's ours", "--sql", "SELECT 1 AS a, 2 AS b"});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_EQ(db.query_one("SELECT obj_description('v'::regclass)"), "it's ours");
  EXPECT_EQ(db.query_one("SELECT count(*) FROM pg_index WHERE indrelid = 'v'::regclass"), "3");
  EXPECT_EQ(db.query_one(
                "SELECT indkey::text FROM pg_index WHERE indrelid = 'v'::regclass AND indisunique"),
            "1 2");
}

TEST_F(CliCreate, TakesAnIndexWhoseColumnIsNotThereAsARefusalThatNamesTheIndex) {
  const auto refused = matview({"create", "v", "--index", "nope", "--sql", "SELECT 1 AS a"});
  expect_refusal(refused, 1, {"\"nope\"", "index"});
  EXPECT_FALSE(exists("v"));
}

TEST_F(CliCreate, TakesAColumnNameWithABlankAsABadNameAndNotWithoutIt) {
  const auto refused = matview({"create", "v", "--index", "a b", "--sql", "SELECT 1 AS ab"});
  expect_refusal(refused, 2, {"\"a b\"", "not a valid name"});
  EXPECT_FALSE(exists("v"));
}

TEST_F(CliCreate, KeepsTheCaseOfNames) {
  EXPECT_EQ(matview({"create", "Daily", "--sql", "SELECT 1 AS a"}).exit_code, 0);
  EXPECT_TRUE(exists("\"Daily\""));
  EXPECT_FALSE(exists("daily"));
}

TEST_F(CliCreate, PutsItIntoAnotherSchema) {
  db.execute("CREATE SCHEMA sales");
  const auto made = matview({"create", "sales.daily", "--sql", "SELECT 1 AS a"});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_TRUE(contains(made.out, "sales.daily"));
  EXPECT_TRUE(exists("sales.daily"));
}

TEST_F(CliCreate, StopsAtItsStatementTimeout) {
  const auto refused = matview({"create", "v", "--statement-timeout", "100 milliseconds", "--sql",
                                "SELECT 1 AS a FROM generate_series(1, 1000000000) n"});
  expect_refusal(refused, 1, {"statement_timeout", "100 ms"});
  EXPECT_FALSE(exists("v"));
}

TEST_F(CliCreate, TreatsADashedNameAfterTheDoubleDashAsABadName) {
  expect_refusal(matview({"create", "--sql", "SELECT 1", "--", "-v"}), 2,
                 {"\"-v\"", "not a valid name"});
}

}  // namespace
}  // namespace matview::test
