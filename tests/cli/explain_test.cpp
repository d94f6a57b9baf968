#include "cli/cli_fixture.hpp"

#include "incremental/refusal.hpp"
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

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
  EXPECT_FALSE(exists("matview_explained"));
}

TEST_F(incremental_cli, ExplainsOperatorByOperatorInEachFormat) {
  db.execute("CREATE TABLE s (a int NOT NULL, y int)");
  const std::string query = "SELECT count(y) AS n FROM t LEFT JOIN s ON s.a = t.a";
  const auto explain = [&](const std::string& format, const std::string& sql) {
    const process_result told = matview({"explain", "--sql", sql, "--format", format});
    EXPECT_EQ(told.exit_code, 0) << told.err;
    return told;
  };
  const auto operators = json_of(explain("json", query)).at("operators").as_array();
  ASSERT_EQ(operators.size(), 5U);
  const std::vector<std::pair<std::string, std::string>> expected{
      {"SELECT count(s.y) AS n", "residue"},
      {"aggregates of all rows", "D"},
      {"LEFT JOIN ON s.a = t.a", "K"},
      {"table public.t", "K"},
      {"table public.s", "K"}};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(operators[i].at("what").as_string(), expected[i].first);
    EXPECT_EQ(operators[i].at("mechanism").as_string(), expected[i].second);
    EXPECT_EQ(operators[i].at("depth").as_int64(),
              std::min<std::int64_t>(static_cast<std::int64_t>(i), 3));
    EXPECT_FALSE(operators[i].at("why").as_string().empty());
  }
  EXPECT_TRUE(
      contains(explain("text", query).out,
               "\nK              table public.s: the touched t.id are found along s - t\n"));
  EXPECT_TRUE(contains(explain("tsv", query).out, "\n2\tLEFT JOIN ON s.a = t.a\tK\tnot linear"));
  // All but the statements are comments.
  const std::string sql = explain("sql", query).out;
  EXPECT_TRUE(sql.starts_with("-- can be incremental, by mechanism D")) << sql;
  EXPECT_TRUE(contains(sql, "\n-- apply\nWITH ")) << sql;
  const std::string refused = explain("sql", "SELECT random() AS r FROM t").out;
  EXPECT_TRUE(contains(refused, "-- random()")) << refused;
  EXPECT_FALSE(contains(refused, "\n ")) << refused;
  // By the option that all commands have, too.
  const process_result all = matview({"--format", "tsv", "explain", "--sql", "SELECT id FROM t"});
  EXPECT_TRUE(all.out.starts_with("0\tSELECT t.id AS id\tL\t")) << all.out;
  const process_result wrong = matview({"explain", "--sql", query, "--format", "xml"});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_TRUE(contains(wrong.err, "\"xml\"")) << wrong.err;
  const std::string wide = "SELECT 'äöü\n' || '" + std::string(58, 'x') + "ää' AS c FROM t";
  const std::string told = explain("text", wide).out;
  EXPECT_TRUE(contains(told, "\nL        SELECT 'äöü '::text || '" + std::string(45, 'x') +
                                 "...: of changed rows alone\n"))
      << told;
}

struct told_query {
  const char* sql;
  std::vector<const char*> lines;  // Of the answer, from their beginning.
};

TEST_F(incremental_cli, SaysWhichMechanismAPartHasAndWhy) {
  db.execute("CREATE TABLE s (a int NOT NULL, y int)");
  const std::vector<told_query> all{
      {"SELECT t.id, s.y FROM t JOIN s ON s.a = t.a JOIN t AS u ON u.id = s.y",
       {"can be incremental, by mechanism L (",
        "L        public.t, public.s: changed rows are joined with the new state of the rest"}},
      {"SELECT a, max(x) - min(x) AS span FROM t GROUP BY a HAVING count(*) > 1 ORDER BY a LIMIT 2",
       {"residue  HAVING, expressions over aggregates, ORDER BY, LIMIT: computed from the stored",
        "L        the groups: each has the state",
        "L        public.t: changes need no other table"}},
      {"SELECT a, count(*) AS n FROM t GROUP BY a",
       {"can be incremental, by mechanism L (", "\nL        the groups: each has the state"}},
      {"SELECT a FROM t EXCEPT SELECT a FROM s",
       {"residue  EXCEPT: decided by the counters when the view is read"}},
      {"SELECT id, y FROM t LEFT JOIN s ON s.a = t.a",
       {"K        the rows: those with the same t.id as a change are made anew, because of LEFT "
        "JOIN",
        "K        public.s: the key is found along s - t"}},
      {"SELECT t.a, count(y) AS n FROM t LEFT JOIN s ON s.a = t.a GROUP BY t.a",
       {"K        the groups: those with the same t.a as a change are made anew, because of LEFT "
        "JOIN",
        "by the planner's estimate they are small"}},
      {"SELECT count(y) AS n FROM t LEFT JOIN s ON s.a = t.a",
       {"D        the groups: each has the state", "without GROUP BY, making it anew",
        "D        the rows that are aggregated: they are stored as well, because of LEFT JOIN"}},
      {"SELECT a, count(DISTINCT x) AS n FROM t GROUP BY a",
       {"K        the groups: those with the same t.a as a change are made anew, because count("}},
      {"SELECT id FROM t\nWHERE EXISTS (SELECT * FROM s WHERE s.a = t.a)\n"
       "  AND x > (SELECT avg(x) FROM t)",
       {"the subquery on public.t\n",
        "line 3:   AND x > (SELECT avg(x) FROM t)\n                  ^\n",
        "instead  make it an incremental view of its own"}},
  };
  for (const told_query& one : all) {
    const process_result told = matview({"explain", "--sql", one.sql});
    EXPECT_EQ(told.exit_code, 0) << told.err;
    for (const char* line : one.lines) EXPECT_TRUE(contains(told.out, line)) << line << told.out;
  }
  const process_result exists = matview(
      {"explain", "--sql", "SELECT id FROM t WHERE EXISTS (SELECT * FROM s WHERE s.a = t.a)"});
  EXPECT_TRUE(contains(exists.out, "captured public.s (a)\n")) << exists.out;
}

// Where the server writes a subquery out twice, or it stands in a view underneath.
TEST_F(incremental_cli, NamesNoPlaceThatItDoesNotKnow) {
  db.execute("CREATE VIEW below AS SELECT id FROM t WHERE x > (SELECT avg(x) FROM t)");
  for (const char* sql :
       {"SELECT id, (SELECT max(x) FROM t) AS m FROM t ORDER BY m",
        "SELECT id FROM below WHERE EXISTS (SELECT FROM t WHERE t.id = below.id)"}) {
    const process_result told = matview({"explain", "--sql", sql, "--format", "json"});
    const auto obstacle = json_of(told).at("obstacles").at(0);
    EXPECT_EQ(obstacle.at("construct"), "uncorrelated_subquery") << sql;
    EXPECT_TRUE(obstacle.at("position").is_null()) << sql;
  }
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
  run({"index", "add", "v", "--columns", "a, n", "--unique"});
  EXPECT_EQ(db.query_one("SELECT count(*) FROM pg_index WHERE indisunique AND indnatts = 2 AND "
                         "indrelid = 'matview.storage_1'::regclass"),
            "1");
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
  expect_refusal(matview({"refresh", "nosuch", "--mode", "swap"}), 1, {"no materialized view"});
  expect_refusal(matview({"refresh", "t", "--mode", "diff"}), 1, {"is a table"});
  expect_refusal(matview({"convert", "m", "--to", "native"}), 2, {"native already"});
  expect_refusal(matview({"refresh", "m", "--all", "--atomic"}), 2, {"--atomic"});
  expect_refusal(matview({"index", "add", "m", "--columns", "two"}), 2, {"two"});
  expect_refusal(matview({"index", "add", "nosuch", "--columns", "one"}), 1,
                 {"no materialized view"});
  db.execute("INSERT INTO t VALUES (1000, 1), (1001, 1)");
  EXPECT_EQ(
      matview({"create", "copies", "--kind", "incremental", "--sql", "SELECT a FROM t"}).exit_code,
      0);
  expect_refusal(matview({"index", "add", "copies", "--columns", "a", "--unique"}), 1,
                 {"rows of public.copies agree in these columns"});
}

}  // namespace

}  // namespace matview::test
