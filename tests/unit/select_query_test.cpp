#include "text/select_query.hpp"

#include "support/hostile_text.hpp"
#include "support/refusal.hpp"
#include "support/statement_shape.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace matview::text {
namespace {

using test::refusal;

struct accepted_row {
  std::string sql;
  std::string text;
};

TEST(SelectQuery, AcceptsOneQuery) {
  const std::vector<std::string> table{
      "SELECT",  // no columns: PostgreSQL allows it
      "SELECT 1",
      "select a, b from t where c = 'x;y' order by 1 limit 3",
      "VALUES (1, 'a'), (2, 'b')",
      "TABLE t",
      "WITH x AS (SELECT 1) SELECT * FROM x",
      "WITH RECURSIVE x(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM x) TABLE x",
      "(SELECT 1) UNION (SELECT 2)",
      "((SELECT 1))",
      "SELECT '; DROP TABLE t; --'",
      "SELECT $$; DROP TABLE t$$",
      "SELECT \"insert\" FROM \"delete\"",
      "SELECT 'InsertStmt', 'ParamRef', 'intoClause'",
      "SELECT 1 AS \"intoClause\"",
      "-- first a comment\nSELECT 1",
      "/* /* nested */ */ SELECT 1",
      "SELECT 'caf\xC3\xA9'",
      "\n\tSELECT 1\n",
      "SELECT * FROM t FOR UPDATE",
      "SELECT interval '1 day'",
  };
  for (const std::string& sql : table) {
    SCOPED_TRACE(sql);
    const auto thrown = refusal([&] { return select_query::parse(sql); });
    EXPECT_FALSE(thrown) << thrown->what();
    if (thrown) continue;
    EXPECT_EQ(select_query::parse(sql).text(), sql);
    EXPECT_TRUE(test::keeps_shape(select_query::parse(sql)));
  }
}

TEST(SelectQuery, LeavesOnlyTheSemicolonOut) {
  const std::vector<accepted_row> table{
      {"SELECT 1;", "SELECT 1"},
      {"SELECT 1 ;", "SELECT 1 "},
      {"SELECT 1;\n", "SELECT 1"},
      {"SELECT 1; -- done", "SELECT 1"},
      {"SELECT 1; /* done */", "SELECT 1"},
      {"SELECT 1 -- c", "SELECT 1 -- c"},
      {"SELECT 1 -- c;", "SELECT 1 -- c;"},
      {"SELECT 1 /* c */", "SELECT 1 /* c */"},
      {"SELECT ';';", "SELECT ';'"},
      {"SELECT '\xC3\xA9';", "SELECT '\xC3\xA9'"},
  };
  for (const accepted_row& row : table) {
    SCOPED_TRACE(row.sql);
    const select_query query = select_query::parse(row.sql);
    EXPECT_EQ(query.text(), row.text);
    EXPECT_TRUE(test::keeps_shape(query));
  }
}

// A semicolon in front would end the larger statement that the query is put into.
TEST(SelectQuery, NeverBeginsWithASemicolon) {
  for (const std::string sql : {";SELECT 1", " ; TABLE t", "-- c\n;;VALUES (1);"}) {
    SCOPED_TRACE(sql);
    const auto thrown = refusal([&] { return select_query::parse(sql); });
    EXPECT_TRUE(thrown || test::keeps_shape(select_query::parse(sql)));
  }
}

struct refused {
  std::string sql;
  std::size_t position;
  std::string_view says;
};

TEST(SelectQuery, RefusesEverythingElse) {
  const std::vector<refused> table{
      {"", 1, "the query is empty"},
      {" \n\t", 1, "the query is empty"},
      {";", 1, "the query is empty"},
      {"-- nothing", 1, "the query is empty"},
      {"SELECT 1; DROP MATERIALIZED VIEW v; --", 11, "a second statement begins"},
      {"SELECT 1; SELECT 2", 11, "a second statement begins"},
      {"SELECT 1;\n-- c\n/* d */ DELETE FROM t", 24, "a second statement begins"},
      {"SELECT '\xC3\xA9'; DROP TABLE t", 13, "a second statement begins"},
      {"INSERT INTO t VALUES (1)", 1, "this is INSERT"},
      {"UPDATE t SET a = 1", 1, "this is UPDATE"},
      {"DELETE FROM t", 1, "this is DELETE"},
      {"  DROP TABLE t", 3, "this is DROP"},
      {"-- c\nTRUNCATE t", 6, "this is TRUNCATE"},
      {"CREATE TABLE t AS SELECT 1", 1, "this is CREATE TABLE AS"},
      {"EXPLAIN SELECT 1", 1, "this is EXPLAIN"},
      {"EXECUTE p", 1, "this is EXECUTE"},
      {"COPY t TO STDOUT", 1, "this is COPY"},
      {"WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d", 24, "a DELETE in WITH"},
      {"WITH d AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM d", 24, "an INSERT in WITH"},
      {"WITH d AS (UPDATE t SET a = 1 RETURNING *) SELECT * FROM d", 19, "an UPDATE in WITH"},
      {"SELECT * FROM (WITH d AS (DELETE FROM t RETURNING *) TABLE d) x", 39, "a DELETE in WITH"},
      {"SELECT 1 INTO t", 15, "SELECT INTO creates a table"},
      {"SELECT $1", 8, "cannot have placeholders"},
      {"SELECT * FROM t WHERE a = $1 AND b = $2", 27, "cannot have placeholders"},
      {"VALUES ($1)", 9, "cannot have placeholders"},
      {"SELECT * FORM t", 10, "syntax error at or near \"FORM\""},
      {"SELECT 1 +", 11, "syntax error at end of input"},
      {"SELECT '\xC3\xA9' FORM FORM", 17, "syntax error"},
      {"SELECT 'open", 8, "unterminated quoted string"},
      {"SELECT \"open", 8, "unterminated quoted identifier"},
      {"SELECT 1 /* open", 10, "unterminated /* comment"},
      {"SELECT $a$ open", 8, "unterminated dollar-quoted string"},
      {"SELECT 1 WITH NO DATA", 10, "syntax error"},
      {"SELECT 1) UNION (SELECT 2", 9, "syntax error"},
      {std::string("SELECT 1\0; DROP TABLE t", 23), 9, "NUL"},
      {std::string("\0", 1), 1, "NUL"},
  };
  for (const refused& row : table) {
    SCOPED_TRACE(row.sql);
    const auto thrown = refusal([&] { return select_query::parse(row.sql); });
    EXPECT_TRUE(thrown);
    if (!thrown) continue;
    EXPECT_EQ(thrown->code(), errc::invalid_select);
    EXPECT_EQ(thrown->position(), row.position) << thrown->what();
    EXPECT_NE(std::string_view(thrown->what()).find(row.says), std::string_view::npos)
        << thrown->what();
    EXPECT_NE(thrown->hint(), "");
  }
}

TEST(SelectQuery, PointsAtTheFault) {
  const auto thrown = refusal([] { return select_query::parse("SELECT *\nFORM t"); });
  ASSERT_TRUE(thrown);
  EXPECT_STREQ(thrown->what(),
               "the query cannot be parsed: syntax error at or near \"FORM\"\n"
               "line 2: FORM t\n"
               "        ^");
}

TEST(SelectQuery, RefusesATextTooLongToBeWrittenByHand) {
  const std::string just_fits = "SELECT 1 --" + std::string((256U << 10U) - 11, 'x');
  EXPECT_FALSE(refusal([&] { return select_query::parse(just_fits); }));
  const auto thrown = refusal([&] { return select_query::parse(just_fits + "x"); });
  ASSERT_TRUE(thrown);
  EXPECT_EQ(thrown->code(), errc::invalid_select);
  EXPECT_LT(std::string_view(thrown->what()).size(), 200U);
}

void keeps_promise(const std::string& sql) {
  const auto thrown = refusal([&] { return select_query::parse(sql); });
  RC_TAG(thrown ? "refused" : "accepted");
  if (thrown) {
    RC_ASSERT(thrown->code() == errc::invalid_select);
    RC_ASSERT(thrown->position().has_value());
    return;
  }
  const select_query query = select_query::parse(sql);
  RC_ASSERT(sql.starts_with(query.text()));
  RC_ASSERT(test::keeps_shape(query));
}

rc::Gen<std::string> good_query() {
  return rc::gen::element<std::string>(
      "SELECT 1", "SELECT 1;", "SELECT 1 -- c", "TABLE t", "VALUES (1)", "(SELECT 1)",
      "SELECT a, 'b' FROM t WHERE c = \"d\" /* e */",
      "WITH x AS (SELECT 1) SELECT * FROM x WHERE y IN (SELECT z FROM w)");
}

RC_GTEST_PROP(SelectQueryProperty, HostileTextNeverEndsTheStatement, ()) {
  keeps_promise(*test::hostile_text(
      {"SELECT 1", " ", "1", ";", "FROM t", "WITH NO DATA", "--", "UNION", "(", ")", "AS v"}));
}

RC_GTEST_PROP(SelectQueryProperty, TamperedQueryNeverEndsTheStatement, ()) {
  keeps_promise(*test::tampered(good_query()));
}

}  // namespace
}  // namespace matview::text
