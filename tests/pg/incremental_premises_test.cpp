// What the compiler and the capture take for granted of SQL, where that has exceptions: how a text
// is read again, the type of a merged column, sets that go in step, rows of two parents. Each is
// compared with its query itself.
#include "pg/incremental_fixture.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

namespace matview::test {
namespace {

class IncrementalPremises : public incremental_test {
 protected:
  void make(const std::string& query) {
    query_ = query;
    create("v", query);
    expect_same("the creation");
  }
  void expect_same(const std::string& after) {
    EXPECT_EQ(db.query_one(fmt::format("SELECT count(*) FROM ((TABLE v EXCEPT ALL {0}) UNION ALL "
                                       "({0} EXCEPT ALL TABLE v)) AS d",
                                       "(" + query_ + ")")),
              "0")
        << query_ << " after " << after;
  }
  void expect_goes_on(const std::string& change) {
    db.execute(change);
    const refresh_report done = refresh_matview("v");
    EXPECT_EQ(done.mode, refresh_mode::incremental) << change << ": " << done.reason;
    expect_same(change);
  }

 private:
  std::string query_;
};

TEST_F(IncrementalPremises, AtTimeZoneKeepsItsOperands) {
  db.execute(
      "CREATE TABLE t (id int PRIMARY KEY, d date, tm time, ts timestamp, tz timestamptz, z "
      "interval); "
      "INSERT INTO t VALUES (1, '2024-07-15', '23:30', '2024-07-30 12:00', '2024-07-30 12:00+00', "
      "'2 "
      "hours')");
  int id = 2;
  for (const char* const value :
       {"(d + tm) AT TIME ZONE 'Europe/Berlin'", "(tz AT TIME ZONE 'Europe/Berlin')::date",
        "ts AT TIME ZONE (z + interval '1 hour')", "(interval '1 day' + ts) AT TIME ZONE 'UTC'",
        "ts AT TIME ZONE ('Europe/' || 'Paris')"}) {
    make(fmt::format("SELECT id, {} AS x FROM t", value));
    expect_goes_on(
        fmt::format("INSERT INTO t VALUES ({}, '2024-03-31', '01:30', '2024-03-30 12:00', "
                    "'2024-03-30 23:30+00', "
                    "'5 hours')",
                    id++));
    drop_matview("v");
  }
  make("SELECT (tz AT TIME ZONE 'Europe/Berlin')::date AS day, count(*) AS n FROM t GROUP BY 1");
  expect_goes_on("DELETE FROM t WHERE id = 1");
}

TEST_F(IncrementalPremises, AMergedColumnHasTheTypeOfBoth) {
  db.execute(
      "CREATE TABLE a (id int PRIMARY KEY, k int, m int); CREATE TABLE b (k numeric, m numeric, j "
      "int); "
      "INSERT INTO a VALUES (1, 1, 2), (2, 3, 4); INSERT INTO b VALUES (1, 2, 7)");
  make("SELECT a.id, k / m AS q FROM a LEFT JOIN b USING (k, m)");
  EXPECT_EQ(db.query_one("SELECT round(q, 2) FROM v WHERE id = 2"), "0.75");
  expect_goes_on("INSERT INTO a VALUES (3, 1, 8); INSERT INTO b VALUES (1, 8, 3)");
  drop_matview("v");
  make("SELECT a.id, k / m AS q FROM b RIGHT JOIN a USING (k, m)");
  expect_goes_on("DELETE FROM b WHERE j = 7");
}

TEST_F(IncrementalPremises, AKeyIsComputedWithTheTypeOfAllBranches) {
  db.execute(
      "CREATE TABLE a (id int PRIMARY KEY, k int, j int, x int);"
      "CREATE TABLE b (id int PRIMARY KEY, k numeric, j numeric, x int);"
      "CREATE TABLE o (id int PRIMARY KEY, q numeric);"
      "INSERT INTO a VALUES (1, 3, 2, 1), (2, 4, 2, 2); INSERT INTO b VALUES (1, 3, 2, 3);"
      "INSERT INTO o VALUES (1, 1.5), (2, 1), (3, 2)");
  const std::string both = "(SELECT k, j, x FROM a UNION ALL SELECT k, j, x FROM b) AS s";
  for (const std::string& query :
       {"SELECT s.k / s.j AS q, array_agg(s.x ORDER BY s.x) AS all_x FROM " + both +
            " GROUP BY s.k / s.j",
        "SELECT o.id, (SELECT string_agg(s.x::text, ' ' ORDER BY s.x) FROM " + both +
            " WHERE s.k / s.j = o.q) AS all_x FROM o",
        std::string(
            "SELECT o.id, l.all_x FROM o CROSS JOIN LATERAL (SELECT max(s.x) AS all_x FROM (SELECT "
            "k + o.id - o.id AS k, j, x FROM a UNION ALL SELECT k, j, x FROM b) AS s WHERE s.k / "
            "s.j = "
            "o.q) AS l")}) {
    make(query);
    expect_goes_on("INSERT INTO a VALUES (3, 6, 4, 5); UPDATE a SET k = 5 WHERE id = 1");
    expect_goes_on("DELETE FROM a WHERE id = 3; UPDATE b SET k = 4; UPDATE a SET k = 3");
    db.execute("UPDATE b SET k = 3");
    drop_matview("v");
  }
}

// 0.00 of what was taken away again, where the query yields 0.
TEST_F(IncrementalPremises, TheDigitsOfASumAreThoseOfItsRows) {
  db.execute(
      "CREATE TABLE t (id int PRIMARY KEY, g int, a numeric(10,2), b numeric(10,3));"
      "INSERT INTO t VALUES (1, 1, 1.25, 2.125), (2, 1, -1, 3), (3, 2, 7, 8)");
  for (const char* const sum :
       {"sum(CASE WHEN a > 0 THEN a ELSE 0 END)", "sum(CASE WHEN a > 0 THEN a ELSE b END)",
        "sum(coalesce(nullif(a, 7), 0))", "sum(CASE WHEN a > 0 THEN a ELSE 0.00 END)"}) {
    make(fmt::format("SELECT g, {}::text AS shown FROM t GROUP BY g", sum));
    expect_goes_on("UPDATE t SET a = -2 WHERE g = 1");
    expect_goes_on("UPDATE t SET a = 7, b = 1 WHERE g = 2; INSERT INTO t VALUES (4, 2, 7, 2)");
    db.execute("DELETE FROM t WHERE id = 4; UPDATE t SET a = 1.25 WHERE id = 1");
    drop_matview("v");
  }
}

// A quotient has as many digits as what it is made of: more of them may be another value.
TEST_F(IncrementalPremises, AQuotientIsRoundedByTheDigitsOfTheRows) {
  db.execute(
      "CREATE TABLE t (id int PRIMARY KEY, g int, n2 numeric(10,2), q6 numeric(12,6), big "
      "numeric(30,0));"
      "INSERT INTO t VALUES (1, 1, 5, 3, 1e20), (2, 1, -1, 2, 0), (3, 2, 7, 1, 1e20)");
  const std::string positive = "sum(CASE WHEN n2 > 0 THEN n2 ELSE 0 END)";
  for (const std::string& shown :
       {std::string("sum(n2) / (7 + sum(CASE WHEN n2 > 0 THEN q6 * q6 * q6 ELSE 0 END))"),
        "(sum(big) + " + positive + ") / 3", "sum(big) / (3 + " + positive + ")",
        std::string("(sum(big) - sum(coalesce(n2, 0))) / 3"), "100.00 * " + positive + " / sum(q6)",
        std::string("sum(CASE WHEN n2 > 0 THEN n2 ELSE 0::numeric(30,20) END) / 3")}) {
    make("SELECT g, " + shown + " AS x FROM t GROUP BY g");
    expect_goes_on("UPDATE t SET n2 = -1");
    expect_goes_on("UPDATE t SET n2 = NULL WHERE g = 1");
    expect_goes_on("DELETE FROM t WHERE id = 2");
    db.execute(
        "TRUNCATE t; INSERT INTO t VALUES (1, 1, 5, 3, 1e20), (2, 1, -1, 2, 0), "
        "(3, 2, 7, 1, 1e20)");
    drop_matview("v");
  }
}

// What stands for s.k has to be written in parentheses.
TEST_F(IncrementalPremises, ASubscriptFollowsWhatAColumnIsMadeFrom) {
  db.execute(
      "CREATE TYPE pair AS (x int, y text); CREATE TABLE p (id int PRIMARY KEY, g int, ai int[], c "
      "pair); INSERT INTO p SELECT i, i % 3, ARRAY[i, i % 2], (i % 2, 'a')::pair FROM "
      "generate_series(1, 6) i");
  const auto goes_on = [this](const std::string& inner, const std::string& read) {
    make(
        fmt::format("SELECT {0} AS x, array_agg(s.id ORDER BY s.id) AS ids FROM (SELECT id, {1} "
                    "AS k FROM p) s GROUP BY {0}",
                    read, inner));
    expect_goes_on("UPDATE p SET ai = ARRAY[5, 6], c = (7, 'b') WHERE g = 1");
    db.execute("UPDATE p SET ai = ARRAY[id, id % 2], c = (id % 2, 'a')");
    drop_matview("v");
  };
  for (const char* const inner :
       {"coalesce(ai, '{3}')", "CASE WHEN g < 9 THEN ai END", "ARRAY[ai[1]]", "greatest(ai, '{1}')",
        "array_append(ai, 1)", "ai::bigint[]", "ai", "ai || 1"}) {
    goes_on(inner, "s.k[1]");
  }
  for (const char* const inner : {"coalesce(c, (1, 'a')::pair)", "CASE WHEN g < 9 THEN c END"}) {
    goes_on(inner, "(s.k).x");
  }
}

// A text that stands below a char(n) has no blanks at its end.
TEST_F(IncrementalPremises, EachUnionOnTheWayCasts) {
  db.execute(
      "CREATE TABLE c (id int PRIMARY KEY, k char(4)); CREATE TABLE d (id int PRIMARY KEY, k "
      "varchar(9)); CREATE TABLE e (id int PRIMARY KEY, k text);"
      "INSERT INTO c VALUES (1, 'a'), (2, 'b'); INSERT INTO d VALUES (3, 'a  '), (4, 'b');"
      "INSERT INTO e VALUES (5, 'a  '), (6, 'a')");
  const std::string all =
      "SELECT id, k FROM c UNION ALL SELECT id, k FROM d UNION ALL SELECT id, "
      "k FROM e";
  for (const std::string& query :
       {all, "SELECT length(s.k) AS l, array_agg(s.id ORDER BY s.id) AS ids FROM (" + all +
                 ") s GROUP BY length(s.k)"}) {
    make(query);
    expect_goes_on(
        "INSERT INTO d VALUES (7, 'x '), (8, 'a   '); UPDATE c SET k = 'ab' WHERE id = 2");
    expect_goes_on("DELETE FROM d WHERE id = 3; INSERT INTO e VALUES (9, 'x ')");
    db.execute(
        "DELETE FROM d WHERE id > 6; DELETE FROM e WHERE id > 6; INSERT INTO d VALUES (3, "
        "'a  ')");
    drop_matview("v");
  }
}

TEST_F(IncrementalPremises, BranchesOfThreeTypesAreCastAsTheQueryCastsThem) {
  db.execute(
      "CREATE TABLE a (r real); CREATE TABLE b (n numeric); CREATE TABLE c (d float8); INSERT INTO "
      "a "
      "VALUES (0.1); INSERT INTO b VALUES (0.1); INSERT INTO c VALUES (5)");
  for (const char* const query :
       {"SELECT r FROM a UNION ALL (SELECT n FROM b UNION ALL SELECT d FROM c)",
        "SELECT r FROM a UNION (SELECT n FROM b UNION SELECT d FROM c)",
        "SELECT d FROM c UNION ALL (SELECT r FROM a EXCEPT SELECT d FROM c)"}) {
    make(query);
    expect_goes_on(
        "INSERT INTO b VALUES (0.3); INSERT INTO a VALUES (0.3); INSERT INTO c VALUES (0.3)");
    expect_goes_on("DELETE FROM b; DELETE FROM a");
    drop_matview("v");
    db.execute("INSERT INTO a VALUES (0.1); INSERT INTO b VALUES (0.1)");
  }
}

TEST_F(IncrementalPremises, SetsThatGoInStepAreNoKeys) {
  db.execute(
      "CREATE TABLE t (id int PRIMARY KEY, a int[], b int[]); "
      "INSERT INTO t VALUES (1, '{1,2}', '{3}'), (2, '{1}', '{3,4}')");
  const std::string query =
      "SELECT s.y, string_agg(s.x::text, ',' ORDER BY s.x) AS xs FROM (SELECT unnest(a) AS x, "
      "unnest(b) "
      "AS y FROM t) s GROUP BY s.y";
  const matview_explanation told = explain_query(query);
  EXPECT_NE(told.kind, view_kind::incremental) << "no change tells its groups";
  // One alone is a key.
  make(
      "SELECT s.y, string_agg(s.id::text, ',' ORDER BY s.id) AS ids FROM (SELECT id, unnest(b) AS "
      "y "
      "FROM t) s GROUP BY s.y");
  expect_goes_on("INSERT INTO t VALUES (3, '{7,8,9}', '{3}')");
}

TEST_F(IncrementalPremises, ARowOfNullsIsCounted) {
  db.execute(
      "CREATE TYPE pair AS (a int, b int); CREATE TABLE t (id int PRIMARY KEY, g int, c pair); "
      "INSERT INTO t VALUES (1, 1, row(1, NULL)), (2, 1, NULL)");
  make("SELECT g, count(c) AS n, count(*) AS m FROM t GROUP BY g");
  expect_goes_on("INSERT INTO t VALUES (4, 1, row(2, NULL)), (5, 1, NULL)");
  expect_goes_on("UPDATE t SET c = NULL WHERE id = 4");
}

TEST_F(IncrementalPremises, ARowOfTwoParentsIsWrittenThroughEither) {
  db.execute(
      "CREATE TABLE p (id int, x int); CREATE TABLE q (id int, y int); CREATE TABLE c () INHERITS "
      "(p, "
      "q); INSERT INTO c VALUES (1, 1, 1), (2, 2, 2)");
  make("SELECT id, y FROM q");
  expect_goes_on("UPDATE p SET id = id + 100");
  expect_goes_on("DELETE FROM p WHERE id = 101");
  expect_goes_on("INSERT INTO q VALUES (7, 7); INSERT INTO c VALUES (8, 8, 8)");
  drop_matview("v");
  // A parent that comes later is noticed.
  db.execute(
      "CREATE TABLE one (id int); CREATE TABLE child (id int) INHERITS (one); CREATE TABLE two "
      "(id int); INSERT INTO child VALUES (1)");
  make("SELECT id FROM one");
  db.execute("ALTER TABLE child INHERIT two");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::full);
  expect_goes_on("UPDATE two SET id = 5");
}

TEST_F(IncrementalPremises, LabelsThatChangePlacesAreCompiledAnew) {
  db.execute(
      "CREATE TYPE e AS ENUM ('a', 'b'); CREATE TABLE t (id int PRIMARY KEY, g int, x e); INSERT "
      "INTO t "
      "VALUES (1, 1, 'a'), (2, 2, 'b')");
  create("v", "SELECT g, count(*) AS n FROM t WHERE x = 'a' GROUP BY g");
  db.execute(
      "ALTER TYPE e RENAME VALUE 'a' TO 'x'; ALTER TYPE e RENAME VALUE 'b' TO 'a'; ALTER TYPE e "
      "RENAME "
      "VALUE 'x' TO 'b'");
  static_cast<void>(refresh_matview("v"));
  db.execute("INSERT INTO t VALUES (10, 7, 'a'), (11, 8, 'b')");
  EXPECT_EQ(refresh_matview("v").mode, refresh_mode::incremental);
  // The query has the label by its oid, so that it reads 'b' now.
  EXPECT_EQ(db.query_one("SELECT string_agg(g::text, ',' ORDER BY g) FROM v"), "1,8");
  expect_right();
}

TEST_F(IncrementalPremises, OtherIndexMethodsOfAnExtensionSayNothingOfEquality) {
  if (db.query_one("SELECT count(*) FROM pg_available_extensions WHERE name = 'btree_gin'") !=
      "1") {
    GTEST_SKIP() << "no btree_gin here";
  }
  db.execute(
      "CREATE EXTENSION btree_gin; CREATE TABLE t (id int PRIMARY KEY, g int NOT NULL, x int); "
      "INSERT "
      "INTO t VALUES (1, 1, 1)");
  make("SELECT g, sum(x) AS s FROM t GROUP BY g");
  expect_goes_on("INSERT INTO t VALUES (2, 1, 5)");
}

}  // namespace
}  // namespace matview::test
