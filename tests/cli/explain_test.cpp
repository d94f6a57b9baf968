#include "cli/cli_fixture.hpp"

#include "incremental/refusal.hpp"
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

namespace matview::test {

namespace {

TEST(IncrementalDocument, HasEachConstructThatTheCompilerRefuses) {
  std::ifstream file(std::string(MATVIEW_SOURCE_DIR) + "/docs/incremental.md");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  for (const auto& one : incremental::refused_constructs()) {
    const std::string row = fmt::format("| `{}` | {} | {} |", one.name, one.why, one.instead);
    EXPECT_NE(text.find(row), std::string::npos) << "docs/incremental.md lacks: " << row;
  }
}

class incremental_cli : public cli_test {
 protected:
  incremental_cli() {
    db.execute(
        "CREATE TABLE t (id int PRIMARY KEY, a int, x int);"
        "INSERT INTO t SELECT i, i % 5, i FROM generate_series(1, 100) i");
  }
};

TEST_F(incremental_cli, ExplainsAQueryThatNobodyHasCreated) {
  const process_result told =
      matview({"explain", "--sql", "SELECT a, sum(x) AS sx FROM t GROUP BY a", "--format", "json"});
  ASSERT_EQ(told.exit_code, 0) << told.err;
  const auto value = json_of(told);
  EXPECT_EQ(value.at("kind"), "incremental");
  EXPECT_EQ(value.at("mechanism"), "L");
  EXPECT_EQ(value.at("captured").at(0).at("table"), "public.t");
  const process_result refused =
      matview({"explain", "--sql", "SELECT a, random() AS r FROM t", "--format", "json"});
  const auto why = json_of(refused);
  EXPECT_EQ(why.at("kind"), "native");
  EXPECT_EQ(why.at("obstacles").at(0).at("construct"), "volatile_function");
  EXPECT_EQ(why.at("obstacles").at(0).at("position"), 11);
  const process_result text = matview({"explain", "--sql", "SELECT id FROM t", "--show-sql"});
  EXPECT_TRUE(contains(text.out, "can be incremental")) << text.out;
  EXPECT_TRUE(contains(text.out, "-- apply")) << text.out;
  EXPECT_FALSE(exists("matview_explained"));
}

TEST_F(incremental_cli, LivesItsWholeLife) {
  const auto run = [this](const std::vector<std::string>& arguments) {
    const process_result done = matview(arguments);
    EXPECT_EQ(done.exit_code, 0) << done.err;
    return done.out;
  };
  run({"create", "v", "--kind", "incremental", "--sql", "SELECT a, count(*) AS n FROM t GROUP BY a",
       "--index", "n"});
  run({"create", "w", "--kind", "auto", "--sql",
       "SELECT n % 2 AS odd, count(*) AS c FROM v GROUP BY 1"});
  db.execute("DELETE FROM t WHERE id < 20");
  EXPECT_TRUE(contains(run({"refresh", "v"}), "incremental"));
  EXPECT_TRUE(contains(run({"refresh", "--all", "--atomic"}), "public.w"));
  EXPECT_TRUE(contains(run({"verify", "v", "w"}), "right"));
  EXPECT_TRUE(contains(run({"explain", "v"}), "public.v is incremental"));
  EXPECT_TRUE(contains(run({"list"}), "\nv     incremental  ")) << run({"list"});
  EXPECT_TRUE(contains(run({"status"}), "\npublic.v  incremental  ")) << run({"status"});
  EXPECT_EQ(json_of(matview({"list", "--format", "json"})).at(0).at("kind"), "incremental");
  run({"index", "add", "v", "--columns", "a, n"});
  run({"drop", "w"});
  run({"convert", "v", "--to", "native", "--accept-losses"});
  run({"convert", "v", "--to", "incremental"});
  db.execute(
      "DO $$ BEGIN EXECUTE format('DELETE FROM %s WHERE a = 1', "
      "(SELECT storage FROM matview.incremental)); END $$");
  const process_result wrong = matview({"verify", "v"});
  EXPECT_EQ(wrong.exit_code, 4);
  EXPECT_TRUE(contains(wrong.out, "WRONG")) << wrong.out;
  EXPECT_EQ(matview({"verify", "v", "--repair"}).exit_code, 4);  // There was something to look at.
  EXPECT_TRUE(contains(run({"verify", "v"}), "right"));
  run({"drop", "v"});
  EXPECT_FALSE(exists("v"));
}

TEST_F(incremental_cli, SaysWhatIsWrong) {
  expect_refusal(
      matview({"create", "v", "--kind", "incremental", "--sql", "SELECT random() FROM t"}), 2,
      {"random()", "line 1:", "--kind native"});
  expect_refusal(matview({"create", "v", "--kind", "incremental", "--no-data", "--sql", "TABLE t"}),
                 2, {"without data"});
  expect_refusal(matview({"explain", "nosuch"}), 1, {"no materialized view"});
  db.execute("CREATE MATERIALIZED VIEW m AS SELECT 1 AS one");
  expect_refusal(matview({"verify", "m"}), 2, {"native"});
  expect_refusal(matview({"refresh", "m", "--mode", "incremental"}), 2, {"native"});
  expect_refusal(matview({"convert", "m", "--to", "native"}), 2, {"native already"});
  expect_refusal(matview({"refresh", "m", "--all", "--atomic"}), 2, {"--atomic"});
}

}  // namespace

}  // namespace matview::test
