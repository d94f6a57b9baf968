#include "cli_fixture.hpp"

#include <gtest/gtest.h>

namespace matview::test {
namespace {

class CliRefresh : public cli_test {
 protected:
  CliRefresh() {
    db.execute(
        "CREATE TABLE t AS SELECT 1 AS id; CREATE MATERIALIZED VIEW a AS SELECT id FROM t; "
        "CREATE MATERIALIZED VIEW b AS SELECT id FROM t; CREATE UNIQUE INDEX ON b (id); "
        "UPDATE t SET id = 2");
  }
  std::string contents(const std::string& view) { return db.query_one("SELECT id FROM " + view); }
};

class CliDrop : public CliRefresh {};

TEST_F(CliRefresh, ComputesTheViewAnew) {
  const auto done = matview({"refresh", "a"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(done.err, "");
  EXPECT_TRUE(contains(done.out, "public.a"));
  EXPECT_TRUE(contains(done.out, "full"));
  EXPECT_EQ(contents("a"), "2");
}

TEST_F(CliRefresh, DoesItConcurrently) {
  const auto done = matview({"refresh", "b", "--concurrently"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_TRUE(contains(done.out, "concurrently"));
  EXPECT_EQ(contents("b"), "2");
}

TEST_F(CliRefresh, TakesSeveralInTheOrderGiven) {
  db.execute("CREATE MATERIALIZED VIEW c AS SELECT id FROM b");
  const auto done = matview({"refresh", "b", "c", "a"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(contents("c"), "2") << "c reads b, which stands before it";
  const std::size_t b = done.out.find("public.b");
  const std::size_t c = done.out.find("public.c");
  const std::size_t a = done.out.find("public.a");
  EXPECT_TRUE(b < c && c < a) << done.out;
}

TEST_F(CliRefresh, GoesOnAfterAFailureAndSaysWithTheExitCode) {
  const auto done = matview({"refresh", "a", "nope", "b"});
  EXPECT_EQ(done.exit_code, 4);
  EXPECT_TRUE(contains(done.err, "\"nope\"")) << done.err;
  EXPECT_EQ(contents("a"), "2");
  EXPECT_EQ(contents("b"), "2");
}

TEST_F(CliRefresh, GivesTheFailuresOwnExitCodeWhenAllFailed) {
  const auto done = matview({"refresh", "nope", "neither"});
  expect_refusal(done, 1, {"\"nope\"", "\"neither\""});
}

TEST_F(CliRefresh, RefusesABadNameBeforeItTouchesTheGoodOnes) {
  const auto done = matview({"refresh", "a", "b;"});
  expect_refusal(done, 2, {"\"b;\""});
  EXPECT_EQ(contents("a"), "1");
}

TEST_F(CliDrop, DropsSeveral) {
  const auto done = matview({"drop", "a", "b"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(done.err, "");
  EXPECT_FALSE(exists("a"));
  EXPECT_FALSE(exists("b"));
}

TEST_F(CliDrop, TakesAMissingOneAsDone) {
  const auto done = matview({"drop", "nope", "a"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_TRUE(contains(done.out, "was not there")) << done.out;
  EXPECT_FALSE(exists("a"));
}

TEST_F(CliDrop, RefusesAMissingOneWithMustExist) {
  const auto done = matview({"drop", "nope", "--must-exist"});
  expect_refusal(done, 1, {"no materialized view \"nope\"", "hint:"});
}

TEST_F(CliDrop, GoesOnAfterAMissingOneThatMustExist) {
  const auto done = matview({"drop", "--must-exist", "nope", "a"});
  EXPECT_EQ(done.exit_code, 4);
  EXPECT_FALSE(exists("a"));
}

TEST_F(CliDrop, RefusesWhatOthersDependOn) {
  db.execute("CREATE VIEW on_a AS SELECT * FROM a");
  const auto done = matview({"drop", "a"});
  expect_refusal(done, 1, {"on_a", "--cascade"});
  EXPECT_TRUE(exists("a"));
}

TEST_F(CliDrop, NamesWhatItDropsWithItByCascade) {
  db.execute("CREATE VIEW on_a AS SELECT * FROM a");
  const auto done = matview({"drop", "a", "--cascade"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_TRUE(contains(done.err, "on_a")) << done.err;
  EXPECT_FALSE(exists("on_a"));
}

TEST_F(CliDrop, LeavesATableOfThatNameAlone) {
  const auto done = matview({"drop", "t"});
  expect_refusal(done, 1, {"public.t", "a table", "not a materialized view"});
  EXPECT_TRUE(exists("t"));
}

}  // namespace
}  // namespace matview::test
