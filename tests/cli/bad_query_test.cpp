#include "cli_fixture.hpp"

#include <gtest/gtest.h>

namespace matview::test {
namespace {

struct bad_query_row {
  std::string name;
  std::string query;
  std::string said;
  /// The line and the caret below it, as they stand in the terminal.
  std::string shown;
  int exit_code = 2;
};

// Refused with the line and a caret under the place; nothing was changed.
class CliBadQuery : public cli_test, public testing::WithParamInterface<bad_query_row> {
 protected:
  CliBadQuery() { db.execute("CREATE TABLE t AS SELECT 1 AS id, 'x' AS \"größe\""); }
  void expect_shown(const process_result& refused) {
    expect_refusal(refused, GetParam().exit_code, {GetParam().said, GetParam().shown});
    EXPECT_EQ(db.query_one("SELECT count(*) FROM pg_matviews"), "0");
    EXPECT_TRUE(exists("t"));
  }
};

INSTANTIATE_TEST_SUITE_P(
    Check, CliBadQuery,
    testing::Values(
        bad_query_row{"Syntax", "SELECT * FORM t", "syntax error at or near \"FORM\"",
                      "  line 1: SELECT * FORM t\n"
                      "                   ^\n"},
        bad_query_row{"SyntaxOnTheThirdLine", "SELECT id,\n       1 AS b\n  FORM t\n",
                      "syntax error at or near \"FORM\"",
                      "  line 3:   FORM t\n"
                      "            ^\n"},
        bad_query_row{"SyntaxBehindUtf8", "SELECT 'Zürich → Genf' AS x FORM t",
                      "syntax error at or near \"FORM\"",
                      "  line 1: SELECT 'Zürich → Genf' AS x FORM t\n"
                      "                                      ^\n"},
        bad_query_row{"SyntaxBehindATab", "SELECT\tid\tFORM t", "syntax error at or near \"t\"",
                      "FORM t\n"},
        bad_query_row{"SyntaxAtTheEnd", "SELECT (1", "syntax error at end of input",
                      "  line 1: SELECT (1\n"
                      "                   ^\n"},
        bad_query_row{"UnclosedQuote", "SELECT 'abc", "unterminated quoted string",
                      "  line 1: SELECT 'abc\n"
                      "                 ^\n"},
        bad_query_row{"NoQuery", "update t set id = 2", "this is UPDATE",
                      "  line 1: update t set id = 2\n"
                      "          ^\n"},
        bad_query_row{"SecondStatement", "SELECT 1; DROP TABLE t", "a second statement begins",
                      "  line 1: SELECT 1; DROP TABLE t\n"
                      "                    ^\n"},
        bad_query_row{"SecondStatementBehindAComment", "SELECT 1; -- done\nDROP TABLE t; --",
                      "a second statement begins",
                      "  line 2: DROP TABLE t; --\n"
                      "          ^\n"},
        bad_query_row{"DeleteInWith", "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
                      "a DELETE in WITH",
                      "  line 1: WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x\n"
                      "                                 ^\n"},
        bad_query_row{"InsertInWith",
                      "WITH x AS (INSERT INTO t VALUES (2) RETURNING *) SELECT * FROM x",
                      "an INSERT in WITH", "^\n"},
        bad_query_row{"SelectInto", "SELECT 1 AS a INTO copy_of_t", "SELECT INTO",
                      "  line 1: SELECT 1 AS a INTO copy_of_t\n"
                      "                             ^\n"},
        bad_query_row{"Placeholder", "SELECT id FROM t WHERE id = $1", "placeholders",
                      "  line 1: SELECT id FROM t WHERE id = $1\n"
                      "                                      ^\n"},
        bad_query_row{"PlaceholderOfPsql", "SELECT id FROM t WHERE id = :id",
                      "syntax error at or near \":\"", "^\n"}),
    [](const auto& row) { return row.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Server, CliBadQuery,
    testing::Values(
        bad_query_row{"UnknownColumn", "SELECT nope FROM t", "column \"nope\" does not exist",
                      "  line 1: SELECT nope FROM t\n"
                      "                 ^\n",
                      1},
        bad_query_row{"UnknownColumnOnTheSecondLine", "SELECT \"größe\",\n       nöpe FROM t",
                      "column \"nöpe\" does not exist",
                      "  line 2:        nöpe FROM t\n"
                      "                 ^\n",
                      1},
        bad_query_row{"UnknownColumnBehindUtf8", "SELECT 'ä' || \"größe\" AS ö, nope FROM t",
                      "column \"nope\" does not exist",
                      "  line 1: SELECT 'ä' || \"größe\" AS ö, nope FROM t\n"
                      "                                      ^\n",
                      1},
        bad_query_row{"UnknownTable", "SELECT *\nFROM nope", "relation \"nope\" does not exist",
                      "  line 2: FROM nope\n"
                      "               ^\n",
                      1},
        bad_query_row{"UnknownFunction", "SELECT frob(id) AS a FROM t",
                      "function frob(integer) does not exist",
                      "  line 1: SELECT frob(id) AS a FROM t\n"
                      "                 ^\n",
                      1}),
    [](const auto& row) { return row.param.name; });

TEST_P(CliBadQuery, OfTheCommandLineIsShownWithACaret) {
  expect_shown(matview({"create", "v", "--sql", GetParam().query}));
}

TEST_P(CliBadQuery, OfAFileIsShownWithACaretAndTheFilesName) {
  const auto refused = matview({"create", "v", "--file", folder.write("q.sql", GetParam().query)});
  expect_shown(refused);
  EXPECT_TRUE(contains(refused.err, "q.sql")) << refused.err;
}

using CliQuery = cli_test;

TEST_F(CliQuery, AHugeLineIsNotShownWhole) {
  const std::string query = "SELECT '" + std::string(5000, 'y') + "' AS a, nope FROM pg_class";
  const auto refused = matview({"create", "v", "--sql", query});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_TRUE(contains(refused.err, "nope FROM pg_class")) << refused.err;
  EXPECT_LT(refused.err.size(), 2000U);
}

TEST_F(CliQuery, AFailureWhileItRunsHasNoCaretAndLeavesNothing) {
  expect_refusal(
      matview({"create", "v", "--sql", "SELECT 1/(n-1) AS a FROM generate_series(1,2) n"}), 1,
      {"division by zero"});
  EXPECT_FALSE(exists("v"));
}

}  // namespace
}  // namespace matview::test
