#include "views_fixture.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

namespace matview::test {
namespace {

class CreateMatview : public views_test {
 protected:
  std::string populated(const std::string& view) {
    return db.query_one("SELECT relispopulated FROM pg_class WHERE oid = '" + view + "'::regclass");
  }
  std::string comment_of(const std::string& view) {
    return db.query_one("SELECT obj_description('" + view + "'::regclass, 'pg_class')");
  }
};

TEST_F(CreateMatview, HoldsTheQuerysResult) {
  create_matview("v", "SELECT g AS id FROM generate_series(1, 3) g");
  EXPECT_EQ(db.query("SELECT id FROM v ORDER BY id"), (rows{{"1"}, {"2"}, {"3"}}));
}

TEST_F(CreateMatview, WithoutDataIsUnpopulated) {
  create_matview("v", "SELECT 1 AS id", {.with_data = false});
  EXPECT_EQ(populated("v"), "f");
}

TEST_F(CreateMatview, ReportsWhatItDid) {
  const auto before = std::chrono::system_clock::now();
  const refresh_report report =
      create_matview("v", "SELECT g AS id FROM generate_series(1, 1000) g",
                     {.indexes = {{.columns = {"id"}, .unique = true}}});
  const auto after = std::chrono::system_clock::now();
  EXPECT_EQ(report.view, "public.v");
  EXPECT_EQ(report.mode, refresh_mode::full);
  EXPECT_NE(report.reason, "");
  EXPECT_EQ(report.rows, 1000);
  EXPECT_EQ(std::to_string(report.bytes), db.query_one("SELECT pg_total_relation_size('v')"));
  EXPECT_GE(report.bytes, 8192);
  EXPECT_GE(report.started, before);
  EXPECT_LE(report.started, after);
  EXPECT_GT(report.duration.count(), 0);
  EXPECT_LE(report.duration, after - before + 1ms);
}

TEST_F(CreateMatview, ReportsNoRowsWithoutData) {
  const refresh_report report = create_matview("v", "SELECT 1 AS id", {.with_data = false});
  EXPECT_EQ(report.view, "public.v");
  EXPECT_EQ(report.mode, refresh_mode::none);
  EXPECT_NE(report.reason, "");
  EXPECT_EQ(report.rows, std::nullopt);
}

TEST_F(CreateMatview, ReportsZeroRowsOfAnEmptyResult) {
  EXPECT_EQ(create_matview("v", "SELECT 1 AS id WHERE false").rows, 0);
}

struct accepted {
  std::string name;
  std::string sql;
  std::string contents;
};

TEST_F(CreateMatview, TakesEveryKindOfQuery) {
  const std::vector<accepted> table{
      {"a_select", "SELECT 7", "7"},
      {"a_semicolon", "SELECT 7;", "7"},
      {"semicolon_and_comment", "SELECT 7; -- that is all", "7"},
      {"trailing_comment", "SELECT 7 -- c", "7"},
      {"trailing_block_comment", "SELECT 7 /* c */", "7"},
      {"leading_comment", "-- c\n/* d */ SELECT 7", "7"},
      {"a_values", "VALUES (7)", "7"},
      {"a_table", "TABLE seven", "7"},
      {"a_with", "WITH w AS (SELECT 7) SELECT * FROM w", "7"},
      {"a_recursive_with",
       "WITH RECURSIVE w(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM w WHERE n < 3) "
       "SELECT max(n) FROM w",
       "3"},
      {"parentheses", "(SELECT 7) UNION (SELECT 7)", "7"},
      {"a_semicolon_in_a_text", "SELECT '; DROP TABLE seven; --'", "; DROP TABLE seven; --"},
      {"a_dollar_quote", "SELECT $$it's;$$", "it's;"},
      {"utf8", "SELECT 'Größe 漢字 🙂'", "Größe 漢字 🙂"},
      {"crlf", "SELECT\r\n7\r\n", "7"},
  };
  db.execute("CREATE TABLE seven AS SELECT 7");
  for (const accepted& row : table) {
    SCOPED_TRACE(row.name);
    create_matview(row.name, row.sql);
    EXPECT_EQ(db.query_one("SELECT * FROM " + row.name), row.contents);
  }
  EXPECT_TRUE(exists("seven"));
}

// The original swallowed WITH NO DATA in such a comment, and filled the view.
TEST_F(CreateMatview, WithoutDataStaysEmptyWhateverTheQueryEndsWith) {
  const std::vector<std::string> queries{
      "SELECT 1 AS id",       "SELECT 1 AS id -- c",    "SELECT 1 AS id -- c\n", "SELECT 1 AS id;",
      "SELECT 1 AS id; -- c", "SELECT 1 AS id /* c */", "SELECT 1 AS id --"};
  for (const std::string& sql : queries) {
    SCOPED_TRACE(sql);
    create_matview("v", sql, {.with_data = false});
    EXPECT_EQ(populated("v"), "f");
    drop_matview("v");
  }
}

TEST_F(CreateMatview, LeavesAnExistingViewAsItIs) {
  create_matview("v", "SELECT 1 AS id", {.comment = "first"});
  const refresh_report report = create_matview("v", "SELECT 2 AS id",
                                               {.if_not_exists = true,
                                                .indexes = {{.columns = {"id"}, .unique = true}},
                                                .comment = "second"});
  EXPECT_EQ(report.mode, refresh_mode::none);
  EXPECT_EQ(report.view, "public.v");
  EXPECT_NE(report.reason, "");
  EXPECT_EQ(db.query_one("SELECT id FROM v"), "1");
  EXPECT_EQ(comment_of("v"), "first");
  EXPECT_EQ(db.query_one("SELECT count(*) FROM pg_index WHERE indrelid = 'v'::regclass"), "0");
}

TEST_F(CreateMatview, IfNotExistsCreatesWhatIsMissing) {
  const refresh_report report = create_matview("v", "SELECT 2 AS id", {.if_not_exists = true});
  EXPECT_EQ(report.mode, refresh_mode::full);
  EXPECT_EQ(report.rows, 1);
  EXPECT_EQ(db.query_one("SELECT id FROM v"), "2");
}

// The name is free where the view would go, though it is taken further down the path.
TEST_F(CreateMatview, IfNotExistsLooksOnlyWhereTheViewWouldGo) {
  db.execute("CREATE SCHEMA below; CREATE MATERIALIZED VIEW below.v AS SELECT 0 AS id");
  configure_databases({{"default", {.url = db.url(), .search_path = {"public", "below"}}}});
  const refresh_report report =
      create_matview("v", "SELECT 2 AS id",
                     {.if_not_exists = true, .indexes = {{.columns = {"id"}, .unique = true}}});
  EXPECT_EQ(report.view, "public.v");
  EXPECT_EQ(report.mode, refresh_mode::full);
  EXPECT_EQ(report.rows, 1);
  EXPECT_EQ(db.query_one("SELECT id FROM public.v"), "2");
  EXPECT_EQ(db.query_one("SELECT count(*) FROM pg_index WHERE indrelid = 'public.v'::regclass"),
            "1");
}

TEST_F(CreateMatview, GoesIntoTheSchemaItIsGiven) {
  db.execute("CREATE SCHEMA sales; CREATE SCHEMA \"Sales\"");
  EXPECT_EQ(create_matview("sales.daily", "SELECT 1 AS id").view, "sales.daily");
  EXPECT_EQ(create_matview("Sales.Daily", "SELECT 2 AS id").view, "Sales.Daily");
  EXPECT_EQ(db.query_one("SELECT id FROM sales.daily"), "1");
  EXPECT_EQ(db.query_one("SELECT id FROM \"Sales\".\"Daily\""), "2");
}

TEST_F(CreateMatview, KeepsTheCaseOfAName) {
  create_matview("v", "SELECT 1 AS id");
  create_matview("V", "SELECT 2 AS id");
  EXPECT_EQ(db.query_one("SELECT id FROM v"), "1");
  EXPECT_EQ(db.query_one("SELECT id FROM \"V\""), "2");
}

TEST_F(CreateMatview, TakesTheLongestNameThereIs) {
  const std::string longest(63, 'x');
  create_matview(longest, "SELECT 1 AS id");
  EXPECT_EQ(db.query_one("SELECT matviewname FROM pg_matviews"), longest);
}

TEST_F(CreateMatview, TakesReservedWordsAsNames) {
  for (const std::string name : {"select", "table", "user", "default"}) {
    SCOPED_TRACE(name);
    create_matview(name, "SELECT 1 AS id", {.indexes = {{.columns = {"id"}}}, .comment = name});
    EXPECT_EQ(count("public.\"" + name + "\""), "1");
  }
}

TEST_F(CreateMatview, IsMadeWithItsIndexes) {
  create_matview("v", "SELECT 1 AS day, 2 AS airport, 3 AS \"Delay\", 4 AS \"order\"",
                 {.indexes = {{.columns = {"day", "airport"}, .unique = true},
                              {.columns = {"Delay"}},
                              {.columns = {"order"}}}});
  EXPECT_EQ(
      db.query("SELECT substring(indexdef FROM '^CREATE (.*INDEX)'), "
               "substring(indexdef FROM '\\(.*\\)') FROM pg_indexes WHERE tablename = 'v' "
               "ORDER BY 2"),
      (rows{
          {"INDEX", "(\"Delay\")"}, {"INDEX", "(\"order\")"}, {"UNIQUE INDEX", "(day, airport)"}}));
}

TEST_F(CreateMatview, IndexesAreUsableForAConcurrentRefresh) {
  create_matview("v", "SELECT 1 AS id", {.indexes = {{.columns = {"id"}, .unique = true}}});
  EXPECT_EQ(refresh_matview("v", {.concurrently = true}).mode, refresh_mode::concurrently);
}

TEST_F(CreateMatview, IsMadeWithItsComment) {
  for (const std::string comment :
       {"plain", "it's", "back\\slash", "\\' mixed \\\\", "two\nlines", "$$; DROP TABLE t; --",
        "Größe 漢字 🙂", "' || current_user || '"}) {
    SCOPED_TRACE(comment);
    create_matview("v", "SELECT 1 AS id", {.comment = comment});
    EXPECT_EQ(comment_of("v"), comment);
    drop_matview("v");
  }
}

// A role's setting would turn a quoted backslash into an escape, and the text behind it, checked as
// the inside of a literal, into statements.
TEST_F(CreateMatview, QuotingDoesNotDependOnTheServersSettings) {
  db.execute("CREATE TABLE precious (id int); ALTER DATABASE " + db.name() +
             " SET standard_conforming_strings = off");
  const std::string sql =
      R"(SELECT 'a\'' ; DROP TABLE precious; CREATE TABLE evil AS SELECT 1 --')";
  create_matview("v", sql + " AS text", {.comment = R"(\'; DROP TABLE precious; --)"});
  EXPECT_TRUE(exists("precious"));
  EXPECT_FALSE(exists("evil"));
  EXPECT_EQ(db.query_one("SELECT text FROM v"),
            R"(a\' ; DROP TABLE precious; CREATE TABLE evil AS SELECT 1 --)");
  EXPECT_EQ(comment_of("v"), R"(\'; DROP TABLE precious; --)");
}

// In SJIS the backslash can be the second byte of a character, so what was checked as UTF-8 would
// be read otherwise.
TEST_F(CreateMatview, QuotingDoesNotDependOnTheConnectionStringsEncoding) {
  db.execute("CREATE TABLE precious (id int)");
  configure({{"default", with_parameter(db.url(), "client_encoding", "SJIS")}});
  const std::string sql =
      "SELECT E'\x95\\'; DROP TABLE precious; CREATE TABLE evil AS SELECT 1 --' AS text";
  // Whether it is refused or taken as one literal is all the same.
  static_cast<void>(refusal([&] { return create_matview("v", sql); }));
  EXPECT_TRUE(exists("precious"));
}

TEST_F(CreateMatview, SeesOnlyPublicWhateverTheRolesPathIs) {
  const test_role role(db, "wanderer");
  db.execute("CREATE SCHEMA elsewhere AUTHORIZATION " + role.name() +
             "; CREATE TABLE elsewhere.t AS SELECT 'elsewhere' AS place; "
             "CREATE TABLE public.t AS SELECT 'public' AS place; "
             "GRANT SELECT ON elsewhere.t, public.t TO " +
             role.name() + "; GRANT CREATE ON SCHEMA public TO " + role.name() + "; ALTER ROLE " +
             role.name() + " SET search_path = elsewhere, public");
  configure({{"default", role.url()}});
  EXPECT_EQ(create_matview("v", "SELECT place FROM t").view, "public.v");
  EXPECT_EQ(db.query_one("SELECT place FROM public.v"), "public");
}

TEST_F(CreateMatview, TakesTheSearchPathOfTheConfiguration) {
  db.execute("CREATE SCHEMA \"odd \"\" name\"");
  configure_databases({{"default", {.url = db.url(), .search_path = {"odd \" name"}}}});
  EXPECT_EQ(create_matview("v", "SELECT 1 AS id").view, "odd \" name.v");
}

TEST_F(CreateMatview, TheUrlsOwnSearchPathWins) {
  db.execute("CREATE SCHEMA elsewhere");
  configure({{"default", with_parameter(db.url(), "options", "-c search_path=elsewhere")}});
  EXPECT_EQ(create_matview("v", "SELECT 1 AS id").view, "elsewhere.v");
}

TEST_F(CreateMatview, LogsTheServersNotices) {
  db.execute(
      "CREATE FUNCTION talk() RETURNS int LANGUAGE plpgsql AS "
      "$$BEGIN RAISE NOTICE 'said'; RAISE WARNING 'warned'; RETURN 1; END$$");
  std::vector<std::pair<log_level, std::string>> lines;
  create_matview("v", "SELECT public.talk() AS id",
                 {.log = [&](log_level level, std::string_view line) {
                   if (level != log_level::debug) lines.emplace_back(level, line);
                 }});
  EXPECT_EQ(lines, (std::vector<std::pair<log_level, std::string>>{
                       {log_level::info, "said"}, {log_level::warning, "warned"}}));
}

}  // namespace
}  // namespace matview::test
