// Incremental views over values that are not what they look like: equal and not the same, spelled
// by settings, NaN, labels that are renamed.

#include "pg/incremental_fixture.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

namespace matview::test {
namespace {

class IncrementalTypes : public incremental_test {
 protected:
  void refresh(const std::string& name) {
    const refresh_report done = refresh_matview(name);
    EXPECT_EQ(done.mode, refresh_mode::incremental) << done.reason;
    expect_right(name);
  }
  /// For connections to come.
  void set_timezone(const std::string& zone) {
    db.execute("ALTER DATABASE \"" + db.name() + "\" SET timezone = '" + zone + "'");
    configure({{"default", db.url()}});
  }
};

TEST_F(IncrementalTypes, TextOfATimeIsThatOfTheCreation) {
  db.execute(
      "CREATE TABLE t (id int, ts timestamptz); INSERT INTO t VALUES (1, '2024-01-01 00:30+01')");
  set_timezone("Europe/Berlin");
  create("v", "SELECT ts::text AS d, count(*) AS n FROM t GROUP BY ts::text");
  create("days", "SELECT date_trunc('day', ts) AS day, count(*) AS n FROM t GROUP BY 1");
  set_timezone("Asia/Tokyo");
  db.execute("DELETE FROM t; INSERT INTO t VALUES (2, '2024-05-05 00:30+01')");
  refresh("v");
  refresh("days");
  EXPECT_EQ(db.query_one("SELECT d FROM v"), "2024-05-05 01:30:00+02");
}

TEST_F(IncrementalTypes, WhatIsMadeOfTheTimesOfAGroupIsThatOfTheCreation) {
  set_timezone("UTC");
  db.execute(
      "CREATE TABLE t (g int, at timestamptz); INSERT INTO t SELECT i % 3, '2024-01-01 "
      "09:00+00'::timestamptz + i * interval '1 minute' FROM generate_series(1, 9) i");
  create("v",
         "SELECT g, to_char(max(at), 'HH24') AS hour, count(*) AS n FROM t GROUP BY g HAVING "
         "extract(hour FROM max(at)) < 12");
  set_timezone("Asia/Tokyo");
  db.execute("INSERT INTO t VALUES (1, '2024-01-01 10:30+00')");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
  EXPECT_EQ(
      session(db.url()).query_one("SELECT string_agg(g || ' ' || hour, ', ' ORDER BY g) FROM v"),
      "0 09, 1 10, 2 09");
}

TEST_F(IncrementalTypes, WhatHasNoEqualityIsVerifiedByItsText) {
  db.execute("CREATE TABLE t (id int PRIMARY KEY, x int); INSERT INTO t VALUES (1, 1), (2, 2)");
  create("v", "SELECT id, json_build_object('x', x) AS doc, ARRAY[point(x, x)] AS at FROM t");
  db.execute("UPDATE t SET x = 3 WHERE id = 1");
  refresh("v");
  db.execute("UPDATE " + db.query_one("SELECT storage FROM matview.incremental") +
             " SET doc = '{\"x\" : 4}' WHERE id = 1");
  const verify_report found = verify_matview("v", {.repair = true});
  EXPECT_EQ(found.missing, 1);
  EXPECT_EQ(found.unexpected, 1);
  EXPECT_TRUE(found.repaired);
  expect_right("v");
}

TEST_F(IncrementalTypes, NanIsTakenOutOfASumByFillingItAnew) {
  db.execute(
      "CREATE TABLE t (g int, x numeric(10,2)); INSERT INTO t VALUES (1, 1), (1, 2), (2, 3)");
  create("v", "SELECT g, sum(x) AS total FROM t GROUP BY g");
  db.execute("INSERT INTO t VALUES (1, 'NaN')");
  refresh_matview("v");
  expect_right("v");
  db.execute("DELETE FROM t WHERE x = 'NaN'");
  const refresh_report anew = refresh_matview("v");
  EXPECT_EQ(anew.mode, refresh_mode::diff);
  EXPECT_TRUE(contains(anew.reason, "NaN")) << anew.reason;
  expect_right("v");
  EXPECT_EQ(db.query_one("SELECT total FROM v WHERE g = 1"), "3.00");
}

// Of equal sums of such numbers one may have more digits than the other.
TEST_F(IncrementalTypes, DigitsOfASumAreShownOnlyWhereTheyAreDeclared) {
  db.execute(
      "CREATE TABLE t (id int PRIMARY KEY, g int, n numeric, m numeric(10,2)); "
      "INSERT INTO t VALUES (1, 1, 1, 1), (2, 1, 3, 3)");
  create("quotient", "SELECT g, sum(n) / count(*) AS x, sum(n)::text AS s FROM t GROUP BY g");
  create("value", "SELECT g, sum(n) AS s, sum(n) * 2 AS two FROM t GROUP BY g HAVING sum(n) > 1");
  create("declared", "SELECT g, sum(m * (1 - m)) / count(*) AS x FROM t GROUP BY g");
  EXPECT_EQ(explain_matview("quotient").mechanism, "K");
  EXPECT_EQ(explain_matview("value").mechanism, "L");
  EXPECT_EQ(explain_matview("declared").mechanism, "L");
  for (const char* change : {"INSERT INTO t VALUES (3, 1, 1.00000000000000000000000000001, 1)",
                             "DELETE FROM t WHERE id = 3; INSERT INTO t VALUES (4, 1, 3, 3)"}) {
    db.execute(change);
    for (const char* view : {"quotient", "value", "declared"}) refresh(view);
  }
}

TEST_F(IncrementalTypes, ACastThatMakesAValueOfNullDoesNotHideRows) {
  db.execute(
      "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE FUNCTION mood_of(int) RETURNS mood IMMUTABLE "
      "LANGUAGE sql AS $$SELECT CASE WHEN $1 > 0 THEN 'ok'::public.mood ELSE 'sad' END$$; "
      "CREATE CAST (int AS mood) WITH FUNCTION mood_of(int); "
      "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (tid int, x int); "
      "CREATE TABLE w (id int PRIMARY KEY, m mood); "
      "INSERT INTO t VALUES (1), (2); INSERT INTO u VALUES (1, 1); INSERT INTO w VALUES (1, 'ok')");
  // Each row of w may go with all of t.
  const std::string query =
      "SELECT t.id, w.id AS wid FROM t LEFT JOIN u ON u.tid = t.id JOIN w ON w.m = u.x::mood";
  EXPECT_EQ(explain_query(query).obstacles.at(0).construct, "no_path");
  db.execute("DROP CAST (int AS mood); DROP FUNCTION mood_of");
  db.execute(
      "CREATE FUNCTION mood_of(int) RETURNS mood IMMUTABLE STRICT LANGUAGE sql AS $$SELECT CASE "
      "WHEN $1 > 0 THEN 'ok'::public.mood ELSE 'sad' END$$; CREATE CAST (int AS mood) WITH "
      "FUNCTION "
      "mood_of(int)");
  create("v", query);
  db.execute("INSERT INTO w VALUES (2, 'sad'); INSERT INTO u VALUES (2, -1)");
  refresh("v");
  EXPECT_EQ(db.query_one("SELECT count(*) FROM v"), "2");
}

TEST_F(IncrementalTypes, ADomainThatIsNotNullIsCapturedUnderEachName) {
  db.execute(
      "CREATE DOMAIN filled AS int NOT NULL CHECK (VALUE < 100); "
      "CREATE TABLE t (id int PRIMARY KEY, d filled, e filled); INSERT INTO t VALUES (1, 1, 1)");
  create("v", "SELECT id, d FROM t");
  db.execute("INSERT INTO t VALUES (2, 2, 2); ALTER TABLE t RENAME d TO f");
  refresh_matview("v");
  expect_right("v");
  db.execute("INSERT INTO t VALUES (3, 3, 3)");
  create("later", "SELECT id, e FROM t");
  db.execute("UPDATE t SET e = e + 1, f = f + 1");
  refresh("v");
  refresh("later");
}

TEST_F(IncrementalTypes, RowsThatAreGoneMayBeErrorsOfAnyKind) {
  db.execute(
      "CREATE FUNCTION picky(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$BEGIN IF $1 < 0 THEN "
      "RAISE 'negative'; END IF; RETURN $1; END$$; CREATE DOMAIN pct AS int CHECK (VALUE < 100); "
      "CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1, 1)");
  create("picked", "SELECT id, picky(a) AS x FROM t");
  create("checked", "SELECT id, a::pct AS x FROM t");
  create("long", "SELECT id, length(repeat('xxxxxxxxxxxx', a)) AS x FROM t");
  db.execute(
      "INSERT INTO t VALUES (2, -1), (3, 2000000000); DELETE FROM t WHERE id > 1; "
      "INSERT INTO t VALUES (4, 4)");
  for (const std::string view : {"picked", "checked", "long"}) {
    EXPECT_EQ(refresh_matview(view).mode, refresh_mode::diff) << view;
    expect_right(view);
  }
  db.execute("INSERT INTO t VALUES (5, -5)");
  EXPECT_TRUE(contains(failure_of([] { refresh_matview("picked"); }).what(), "negative"));
}

TEST_F(IncrementalTypes, OrderBySeveralRowsOfOneMakesSeveral) {
  db.execute("CREATE TABLE t (id int PRIMARY KEY, a int[])");
  create("v", "SELECT id FROM t ORDER BY unnest(a)");
  db.execute("INSERT INTO t VALUES (1, '{1,2}'), (2, '{3}')");
  refresh("v");
  db.execute("UPDATE t SET a = a || 7");
  refresh("v");
  EXPECT_EQ(db.query_one("SELECT count(*) FROM v"), "5");
}

// char(3) and varchar, float and bigint: one value of the one is equal to two of the other.
TEST_F(IncrementalTypes, EqualitiesOfTwoTypesDetermineNothing) {
  db.execute(
      "CREATE TABLE word (k varchar PRIMARY KEY, v int); CREATE TABLE padded (id text PRIMARY KEY, "
      "k char(3)); INSERT INTO padded VALUES ('x', 'a'); INSERT INTO word VALUES ('a', 1), ('a ', "
      "2); CREATE TABLE big (k bigint PRIMARY KEY, v int); CREATE TABLE rough (id int PRIMARY KEY, "
      "k float8); INSERT INTO big VALUES (9007199254740992, 1), (9007199254740993, 2); "
      "INSERT INTO rough VALUES (1, 9007199254740992)");
  create("words", "SELECT padded.id, word.v FROM padded JOIN word USING (k)");
  create("numbers", "SELECT rough.id, big.v FROM rough JOIN big USING (k)");
  EXPECT_EQ(count("words"), "2");
  EXPECT_EQ(count("numbers"), "2");
  db.execute("DELETE FROM word WHERE v = 2; DELETE FROM big WHERE v = 2");
  refresh("words");
  refresh("numbers");
  EXPECT_EQ(count("words"), "1");
}

TEST_F(IncrementalTypes, FullJoinUsingColumnsOfTwoTypesIsRefused) {
  db.execute(
      "CREATE TABLE l (id int PRIMARY KEY, k char(3)); CREATE TABLE r (k varchar PRIMARY KEY, v "
      "int); INSERT INTO l VALUES (1, 'b'); INSERT INTO r VALUES ('b', 1)");
  const auto refused =
      refusal([&] { create("v", "SELECT k, r.v, l.id FROM l FULL JOIN r USING (k)"); });
  ASSERT_TRUE(refused);
  EXPECT_TRUE(contains(refused->what(), "cannot be maintained")) << refused->what();
}

TEST_F(IncrementalTypes, AnOperatorThatReturnsASetMakesCopies) {
  db.execute(
      "CREATE FUNCTION up_to(a int, b int) RETURNS SETOF int LANGUAGE sql IMMUTABLE AS 'SELECT "
      "generate_series(a, b)'; CREATE OPERATOR ### (leftarg = int, rightarg = int, function = "
      "up_to); CREATE TABLE t (id int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 2), (2, 3)");
  create("v", "SELECT id, 1 ### n AS g FROM t");
  EXPECT_EQ(count("v"), "5");
  db.execute("UPDATE t SET n = 1 WHERE id = 2");
  refresh("v");
}

TEST_F(IncrementalTypes, LabelsThatAreRenamedAreNoticed) {
  db.execute(
      "CREATE TYPE color AS ENUM ('red', 'green'); CREATE TABLE t (id int, e color); "
      "INSERT INTO t VALUES (1, 'red'), (2, 'red')");
  create("v", "SELECT e::text AS name, count(*) AS n FROM t GROUP BY e::text");
  db.execute("ALTER TYPE color RENAME VALUE 'red' TO 'rot'; DELETE FROM t WHERE id = 2");
  refresh_matview("v");
  expect_right("v");
  EXPECT_EQ(db.query_one("SELECT name || n FROM v"), "rot1");
  db.execute("INSERT INTO t VALUES (3, 'green')");
  refresh("v");
}

// 1.0 and 1.00 are equal, and yet the update is a change, also for a diff.
TEST_F(IncrementalTypes, WhatIsEqualButNotTheSameIsShownAsItIs) {
  db.execute(
      "CREATE TABLE t (id int PRIMARY KEY, i interval, n numeric, f float8, j jsonb); INSERT INTO "
      "t VALUES (1, '1 mon', 1.0, 0, '1'), (2, '1 day', 2.0, 0, '2')");
  create("v", "SELECT id, i, n, f, j FROM t");
  const auto shown = [this](const char* of) {
    return db.query_one(fmt::format("SELECT string_agg(q::text, ' ' ORDER BY id) FROM {} q", of));
  };
  db.execute("UPDATE t SET i = '30 days', n = 1.00, f = '-0', j = '1.0' WHERE id = 1");
  EXPECT_EQ(refresh_matview("v", {.mode = refresh_mode::incremental}).mode,
            refresh_mode::incremental);
  EXPECT_EQ(shown("v"), shown("t"));
  db.execute("UPDATE t SET i = '24:00', n = 2.00, f = '-0', j = '2.0' WHERE id = 2");
  EXPECT_EQ(refresh_matview("v", {.mode = refresh_mode::diff}).mode, refresh_mode::diff);
  EXPECT_EQ(shown("v"), shown("t"));
}

TEST_F(IncrementalTypes, SettingsOfWhoRefreshesSayNothing) {
  db.execute(
      "CREATE TABLE t (id int PRIMARY KEY, a timestamptz, b timestamp, c bytea); INSERT INTO t "
      "VALUES (1, NULL, '2024-01-01', '\\xff00')");
  create("v", "SELECT a FROM t UNION ALL SELECT b FROM t");
  create("w", "SELECT id, xmlelement(NAME x, c)::text AS shown FROM t");
  db.execute("INSERT INTO t VALUES (2, NULL, '2024-01-02', '\\xff01')");
  session other(db.url());
  other.execute(
      "SET TimeZone = 'Asia/Tokyo'; SET xmlbinary = hex; SET quote_all_identifiers = on; SET "
      "standard_conforming_strings = off; SET escape_string_warning = off");
  for (const char* const view : {"v", "w"}) {
    EXPECT_EQ(other.query_one(fmt::format("SELECT mode FROM matview.refresh('{}')", view)),
              "incremental");
    expect_right(view);
  }
}

// Wherever they stand: an element of an array, below a domain, a part of a row, an end of a range.
TEST_F(IncrementalTypes, LabelsInsideOfOtherTypesAreNoticed) {
  db.execute(
      "CREATE TYPE color AS ENUM ('red', 'green'); CREATE DOMAIN paint AS color; CREATE TYPE coat "
      "AS (c color, n int); CREATE TYPE colors AS RANGE (subtype = color)");
  int number = 0;
  for (const char* const type : {"color[]", "paint", "coat", "colors"}) {
    const std::string table = fmt::format("t{}", ++number);
    const std::string view = fmt::format("v{}", number);
    const std::string label = number % 2 == 0 ? "green" : "red";
    db.execute(fmt::format(
        "CREATE TABLE {} (id int PRIMARY KEY, e {}); INSERT INTO {} SELECT i, CASE '{}' WHEN "
        "'color[]' THEN '{{{}}}' WHEN 'paint' THEN '{}' WHEN 'coat' THEN '({},1)' ELSE '[{},]' "
        "END::{} FROM generate_series(1, 3) i",
        table, type, table, type, label, label, label, label, type));
    create(view, fmt::format("SELECT id, e::text AS shown FROM {}", table));
    db.execute(
        fmt::format("ALTER TYPE color RENAME VALUE '{0}' TO '{0}2'; DELETE FROM {1} WHERE "
                    "id = 1",
                    label, table));
    refresh_matview(view);
    expect_right(view);
    db.execute(fmt::format("ALTER TYPE color RENAME VALUE '{0}2' TO '{0}'", label));
  }
}

TEST_F(IncrementalTypes, WhatAFunctionWithABodyOfSqlCallsIsNoticed) {
  db.execute(
      "CREATE FUNCTION inner_one(i int) RETURNS int LANGUAGE sql IMMUTABLE RETURN i + 1;"
      "CREATE FUNCTION outer_one(i int) RETURNS int LANGUAGE sql IMMUTABLE RETURN inner_one(i) * "
      "2; CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3)");
  create("v", "SELECT id, outer_one(id) AS n FROM t");
  db.execute(
      "CREATE OR REPLACE FUNCTION inner_one(i int) RETURNS int LANGUAGE sql IMMUTABLE RETURN i + "
      "5; DELETE FROM t WHERE id = 1");
  refresh_matview("v");
  expect_right("v");
}

TEST_F(IncrementalTypes, TheFunctionsOfAnAggregateAreNoticed) {
  db.execute(
      "CREATE FUNCTION add_up(s int, i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT "
      "coalesce(s, 0) + i'; CREATE AGGREGATE adds (int) (sfunc = add_up, stype = int); "
      "CREATE TABLE t (id int PRIMARY KEY, x int); INSERT INTO t SELECT i, i % 3 FROM "
      "generate_series(1, 6) i");
  create("v", "SELECT x, adds(id) AS total FROM t GROUP BY x");
  db.execute(
      "CREATE OR REPLACE FUNCTION add_up(s int, i int) RETURNS int LANGUAGE sql IMMUTABLE AS "
      "'SELECT coalesce(s, 0) + 10 * i'; UPDATE t SET x = 2 WHERE id = 1");
  refresh_matview("v");
  expect_right("v");
  db.execute("INSERT INTO t VALUES (7, 1)");
  refresh("v");
}

TEST_F(IncrementalTypes, WhatARefreshPutsIntoAProgramCannotStandInAQuery) {
  db.execute("CREATE TABLE t (id int PRIMARY KEY, x int)");
  const auto refused =
      refusal([&] { create("v", "SELECT id, '/*watermark*/'::text AS a, x FROM t"); });
  ASSERT_TRUE(refused);
  EXPECT_TRUE(contains(refused->what(), "/*watermark*/")) << refused->what();
  create("w", "SELECT id, '/* a comment */'::text AS a, x FROM t");
  db.execute("INSERT INTO t VALUES (1, 1)");
  refresh("w");
}

}  // namespace
}  // namespace matview::test
