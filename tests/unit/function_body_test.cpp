#include "text/function_body.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace matview::text {
namespace {

using names = std::set<std::string>;

struct body_case {
  std::string what;
  std::string body;
  names relations = {};
  names functions = {};
};

TEST(NamesInBody, AreThoseWithoutASchemaWhereTheyMatter) {
  const std::vector<body_case> table{
      {"a select", "SELECT a FROM t WHERE b", {"t"}},
      {"a schema", "SELECT a FROM s.t JOIN s.u USING (a)"},
      {"a join", "SELECT 1 FROM s.t x LEFT JOIN u ON true", {"u"}},
      {"a list", "SELECT 1 FROM t, u AS x, v y, s.w, z WHERE true", {"t", "u", "v", "z"}},
      {"upper case", "SELECT 1 FROM Orders", {"orders"}},
      {"quoted", R"(SELECT 1 FROM "Or""ders")", {"Or\"ders"}},
      {"only", "SELECT 1 FROM ONLY t", {"t"}},
      {"a subquery", "SELECT 1 FROM (SELECT 2 FROM t) x", {"t"}},
      {"a query in WITH",
       "WITH w AS (SELECT 1 FROM t), u (a) AS MATERIALIZED (SELECT 2) "
       "SELECT 1 FROM w, u",
       {"t"}},
      {"a comment", "SELECT 1 -- FROM t\n/* FROM u /* FROM v */ */ FROM w", {"w"}},
      {"strings", "SELECT 'FROM t', E'\\' FROM u', $$ FROM v $$, $a$ FROM x $a$ FROM w", {"w"}},
      {"extract",
       "SELECT extract(year FROM day), trim(both FROM a) FROM t",
       {"t"},
       {"extract", "trim"}},
      {"is distinct from", "SELECT a IS DISTINCT FROM b", {}},
      {"writes",
       "INSERT INTO t (a) VALUES (1); UPDATE u SET a = 1; DELETE FROM v",
       {"t", "u", "v"}},
      {"for update", "SELECT 1 FROM t FOR NO KEY UPDATE", {"t"}},
      {"a function in FROM", "SELECT 1 FROM f(1) x JOIN s.g(2) y ON true", {}, {"f"}},
      {"a call", "BEGIN x := f(1) + s.g(2); PERFORM h (3); END", {}, {"f", "h"}},
      {"keywords", "SELECT a IN (1), EXISTS (SELECT 1), (CASE WHEN (a) THEN (b) END)", {}},
      {"types of rows",
       "DECLARE r t%ROWTYPE; c u.a%TYPE; d s.v.a%TYPE; BEGIN NULL; END",
       {"t", "u"}},
      {"into a variable", "BEGIN SELECT a INTO x FROM t; END", {"t"}},
      {"its own temporary table",
       "BEGIN CREATE TEMP TABLE z AS SELECT 1; PERFORM 1 FROM z, t; END",
       {"t"}},
      {"a string that does not end", "SELECT 'FROM t", {}},
      {"nothing", "", {}},
  };
  for (const body_case& row : table) {
    SCOPED_TRACE(row.what);
    const body_names found = names_in_body(row.body);
    EXPECT_EQ(found.relations, row.relations);
    EXPECT_EQ(found.functions, row.functions);
  }
}

TEST(NamesInBody, TellCallsWithASchema) {
  using calls = std::set<std::pair<std::string, std::string>>;
  EXPECT_EQ(names_in_body("SELECT s.f(1), a.b, S.\"G\" (2), x.y.z(3) FROM s.h()").calls,
            (calls{{"s", "f"}, {"s", "G"}, {"s", "h"}}));
}

TEST(NamesInBody, TellTemporaryTables) {
  for (const std::string made :
       {"CREATE TEMP TABLE z (a int)", "create temporary table if not exists z as select 1",
        "CREATE LOCAL TEMP TABLE z ()", "CREATE TABLE pg_temp.z (a int)",
        "CREATE TEMP VIEW z AS SELECT 1"}) {
    EXPECT_EQ(names_in_body("BEGIN " + made + "; END").temporary, names{"z"}) << made;
  }
  for (const std::string other :
       {"CREATE TABLE z (a int)", "SELECT temp FROM table_z", "-- CREATE TEMP TABLE z ()",
        "INSERT INTO pg_temp.z VALUES (1)"}) {
    EXPECT_EQ(names_in_body("BEGIN " + other + "; END").temporary, names{}) << other;
  }
}

TEST(NamesInBody, TellTheClockTypesAndDynamicSql) {
  const body_names found =
      names_in_body("BEGIN EXECUTE x; RETURN current_date + a::money_t::s.other::int; END");
  EXPECT_EQ(found.clock_words, names{"CURRENT_DATE"});
  EXPECT_EQ(found.types, (names{"money_t", "int"}));
  EXPECT_TRUE(found.dynamic);
  EXPECT_FALSE(names_in_body("SELECT 'EXECUTE'").dynamic);
}

RC_GTEST_PROP(NamesInBody, TakeAnyText, (const std::string& text)) {
  const body_names found = names_in_body(text);
  for (const std::string& name : found.relations) RC_ASSERT(name.size() <= text.size());
}

RC_GTEST_PROP(NamesInBody, TakeAnyOrderOfTheirWords, ()) {
  const auto words = *rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
      "from", "t", ",", "(", ")", ".", "as", "with", "'", "\"", "$$", "/*", "*/", "--", "\n",
      "::", "%", "rowtype", "temp", "table", "extract", "e'", "\\", "$1", ";", "into", "1"));
  std::string text;
  for (const std::string& word : words) text += word + " ";
  static_cast<void>(names_in_body(text));
}

}  // namespace
}  // namespace matview::text
