// Queries in which the way from a changed row to the rows that it touches is easily lost: columns
// that an outer join or LATERAL makes something else, branches of other types, subqueries in odd
// places. Each is right after every change, or refused.

#include "pg/views_fixture.hpp"
#include <matview/incremental.hpp>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>

namespace matview::test {
namespace {

struct path_case {
  const char* name;
  const char* query;
  bool refused = false;
};

void PrintTo(const path_case& one, std::ostream* to) {
  *to << one.name;
}

class IncrementalPaths : public views_test, public testing::WithParamInterface<path_case> {
 protected:
  IncrementalPaths() {
    db.execute(
        "CREATE TABLE a (id int, k int, x int, flag bool); CREATE TABLE b (id int, k int, v int); "
        "CREATE TABLE c (id int, k int, x int, n int); CREATE TABLE d (id int, k int, x int); "
        "CREATE TABLE ta (k int, x int); CREATE TABLE tb (k numeric, x int); "
        "CREATE TABLE ea (id int PRIMARY KEY, tags text[], x int); "
        "INSERT INTO a SELECT i, nullif(i % 5, 0), i % 4, i % 3 = 0 FROM generate_series(1, 14) i; "
        "INSERT INTO b SELECT i, nullif(i % 4, 0), i * 3 % 7 FROM generate_series(1, 12) i; "
        "INSERT INTO c SELECT i, i % 5, i % 3, i % 2 FROM generate_series(1, 12) i; "
        "INSERT INTO d SELECT i, nullif(i % 6, 5), i % 4 FROM generate_series(1, 12) i; "
        "INSERT INTO ta SELECT i % 4, i FROM generate_series(1, 8) i; "
        "INSERT INTO tb SELECT i % 3 + 0.0, i FROM generate_series(1, 8) i; "
        "INSERT INTO ea SELECT i, ARRAY['t' || i % 3], i FROM generate_series(1, 6) i; "
        "CREATE VIEW flagged AS SELECT c.id, true AS is_flagged FROM c WHERE c.n = 1");
  }
};

TEST_P(IncrementalPaths, AreRightAfterEachChangeOrRefused) {
  const auto refused =
      refusal([&] { create_matview("v", GetParam().query, {.kind = view_kind::incremental}); });
  ASSERT_EQ(refused.has_value(), GetParam().refused) << (refused ? refused->what() : "is created");
  if (refused) {
    EXPECT_EQ(refused->code(), errc::invalid_select) << refused->what();
    EXPECT_TRUE(contains(refused->what(), "cannot be maintained")) << refused->what();
    return;
  }
  for (const char* change :
       {"UPDATE a SET flag = NOT flag", "UPDATE d SET k = 99 WHERE id < 4",
        "DELETE FROM c WHERE k = 1", "DELETE FROM b WHERE k = 1",
        "DELETE FROM ta WHERE x = 1; INSERT INTO ta VALUES (1, 99)",
        "INSERT INTO d SELECT 300 + i, 0, 3 FROM generate_series(1, 7) i",
        "UPDATE c SET k = 2 WHERE id % 3 = 0; UPDATE a SET x = 8 WHERE id = 1",
        "INSERT INTO ea VALUES (30, '{t1}', 3), (31, NULL, 4); DELETE FROM ea WHERE id = 2",
        "UPDATE c SET x = x + 1; UPDATE b SET v = v - 1 WHERE id > 5", "DELETE FROM tb WHERE x < 3",
        "INSERT INTO c VALUES (4, 1, 2, 1), (40, 3, 1, 1); UPDATE a SET k = 1 WHERE k IS NULL",
        "UPDATE ta SET k = k + 1 WHERE x % 2 = 0; DELETE FROM d WHERE x = 3"}) {
    db.execute(change);
    const refresh_report done = refresh_matview("v", {.mode = refresh_mode::incremental});
    const std::string difference =
        db.query_one(fmt::format("SELECT count(*) FROM ((({0}) EXCEPT ALL SELECT * FROM v) UNION "
                                 "ALL (SELECT * FROM v EXCEPT "
                                 "ALL ({0}))) AS x",
                                 GetParam().query));
    EXPECT_EQ(difference, "0") << change << ": " << done.reason;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Of, IncrementalPaths,
    testing::Values(
        path_case{"ConstantBehindAnOuterJoin",
                  "SELECT a.id, a.flag FROM a LEFT JOIN flagged f ON f.id = a.id WHERE "
                  "coalesce(f.is_flagged, false) = a.flag"},
        path_case{
            "ConstantThatMayBeNull",
            "SELECT a.id, d.x FROM a JOIN d ON d.k = a.k LEFT JOIN (SELECT id, 5 AS y FROM c) "
            "s ON s.id = a.id WHERE s.y IS NULL OR s.y = d.x"},
        path_case{
            "ConstantInOn",
            "SELECT a.id, d.id AS did FROM a LEFT JOIN (SELECT id, 1 AS y FROM c) s ON s.id = "
            "a.id LEFT JOIN d ON d.k = a.k AND d.x = coalesce(s.y, 0)"},
        path_case{"TotalsBehindAnOuterJoin",
                  "SELECT count(*) AS n, sum(a.x) AS total FROM a LEFT JOIN (SELECT id, true AS "
                  "found FROM c) s ON s.id = a.id WHERE a.flag = coalesce(s.found, false)"},
        path_case{
            "PassedThroughByLateral",
            "SELECT d.id, s.y, s.q FROM d LEFT JOIN LATERAL (SELECT d.id AS y, c.x AS q FROM c "
            "WHERE c.k = d.k) s ON true"},
        path_case{"GroupedByWhatLateralPassedThrough",
                  "SELECT s.y, count(*) AS n, sum(s.v) AS sv, count(DISTINCT a.id) AS ids FROM a "
                  "LEFT JOIN LATERAL (SELECT a.k AS y, b.v FROM b WHERE b.k = a.k) s ON true GROUP "
                  "BY s.y",
                  true},
        path_case{
            "BranchesOfOtherTypes",
            "SELECT k, x FROM ta UNION ALL SELECT k, x FROM tb WHERE NOT EXISTS (SELECT FROM c "
            "WHERE c.id = tb.x)"},
        path_case{
            "GroupsOfBranchesOfOtherTypes",
            "SELECT k, count(DISTINCT x) AS n FROM ta GROUP BY k UNION ALL SELECT k, count(*) "
            "FROM tb GROUP BY k"},
        path_case{
            "DivisionBelowBranchesOfOtherTypes",
            "SELECT q.x, q.k / 2 AS half FROM (SELECT k, x FROM ta UNION ALL SELECT k, x FROM "
            "tb) q"},
        path_case{"SumsBelowBranchesOfOtherTypes",
                  "SELECT q.x % 3 AS g, sum(q.k / 2) AS halves FROM (SELECT k, x FROM ta UNION ALL "
                  "SELECT k, x FROM tb) q JOIN c ON c.id = q.x GROUP BY 1"},
        path_case{"DistinctOnByAWindow",
                  "SELECT * FROM (SELECT DISTINCT ON (d.k) d.k, d.id, d.x FROM d ORDER BY d.k, "
                  "count(*) OVER (PARTITION BY d.x) DESC, d.id) s",
                  true},
        path_case{"MergedColumnInLateral",
                  "SELECT a.id, b.id AS bid, k, s.n FROM a FULL JOIN b USING (k) JOIN LATERAL "
                  "(SELECT count(*) AS n FROM generate_series(1, k) g WHERE g > 0) s ON true"},
        path_case{
            "SubqueryInValues",
            "SELECT a.id, v.t, v.n FROM a LEFT JOIN b ON b.k = a.k JOIN LATERAL (VALUES ('x', "
            "(SELECT count(*) FROM c WHERE c.k = a.k)), ('y', a.x)) v (t, n) ON true",
            true},
        path_case{"SubqueryInValuesAlone",
                  "SELECT a.id, v.m FROM a, LATERAL (VALUES ((SELECT max(c.x) FROM c WHERE c.k = "
                  "a.k))) v (m)",
                  true},
        path_case{"SubqueryInAFunction",
                  "SELECT a.id, u.x FROM a LEFT JOIN b ON b.k = a.k, LATERAL unnest(ARRAY(SELECT "
                  "c.x FROM c WHERE c.k = a.k)) u (x)",
                  true},
        path_case{"SubqueryInAFunctionAlone",
                  "SELECT a.id, u.x FROM a, LATERAL unnest(ARRAY(SELECT c.x FROM c WHERE c.k = "
                  "a.k)) u (x)",
                  true},
        path_case{"ArraysAsKeys",
                  "SELECT tags, array_agg(x ORDER BY x) AS xs FROM ea GROUP BY tags"},
        path_case{"ExtremesOfArrays", "SELECT tags, min(x) AS least FROM ea GROUP BY tags"},
        path_case{
            "ComputedArraysAsKeys",
            "SELECT ARRAY[a.x, a.k] AS both, string_agg(a.id::text, ',' ORDER BY a.id) AS ids "
            "FROM a GROUP BY ARRAY[a.x, a.k]"},
        path_case{"AnOuterAggregateInASubquery",
                  "SELECT a.k, max(a.x) AS m, (SELECT max(c.n) FROM c WHERE c.k = a.k AND c.x = "
                  "max(a.x)) AS y FROM a GROUP BY a.k"},
        path_case{"AnOuterAggregateInHaving",
                  "SELECT a.k, count(*) AS n FROM a GROUP BY a.k HAVING count(*) > 9 OR EXISTS "
                  "(SELECT FROM c WHERE c.k = a.k AND c.x = count(a.x))"},
        path_case{"SetsThatAreGroupedByOnce",
                  "SELECT k, x, count(*) AS n FROM a GROUP BY DISTINCT GROUPING SETS ((k), (k), "
                  "(x)), ROLLUP (k)"},
        path_case{"ElementsAndFieldsOfExpressions",
                  "SELECT id, (ARRAY[k, x, 3])[2] AS e, (coalesce(ARRAY[k], '{}'))[1] AS c, (CASE "
                  "WHEN x > 1 THEN ARRAY[x, k] END)[2] AS w, (ARRAY(SELECT b.v FROM b WHERE b.k = "
                  "a.k ORDER BY b.v))[1] AS s FROM a"},
        path_case{"AWindowInOrderBy",
                  "SELECT a.x, a.k FROM a ORDER BY row_number() OVER (PARTITION BY a.x ORDER BY "
                  "a.id), a.x, a.k LIMIT 3"},
        path_case{"AWindowOverAllInOrderBy",
                  "SELECT a.x, a.k FROM a ORDER BY row_number() OVER (ORDER BY a.id) LIMIT 3",
                  true},
        path_case{"AWindowOverGroupsInOrderBy",
                  "SELECT a.k, count(*) AS n FROM a GROUP BY a.k ORDER BY rank() OVER (ORDER BY "
                  "count(*) DESC), a.k LIMIT 2"},
        path_case{"AnAggregateInOrderByAlone", "SELECT 1 AS one FROM a ORDER BY count(*)"},
        path_case{"AColumnWithoutHashInOrderBy",
                  "SELECT a.k FROM a ORDER BY a.x::bit(4), a.k LIMIT 5"},
        path_case{"SubqueryInOrderByBelow",
                  "SELECT q.id FROM (SELECT a.id FROM a ORDER BY (SELECT max(c.x) FROM c WHERE c.k "
                  "= a.k)) q"},
        path_case{"LooseSubqueryInOrderByBelow",
                  "SELECT q.id FROM (SELECT a.id FROM a ORDER BY (SELECT max(c.x) FROM c)) q",
                  true},
        path_case{"LooseSubqueryInAWindowThatNobodyUses",
                  "SELECT a.id FROM a WINDOW w AS (PARTITION BY (SELECT max(c.x) FROM c))", true},
        path_case{"SubqueryInOrderBy",
                  "SELECT a.id FROM a ORDER BY (SELECT max(c.x) FROM c WHERE c.k = a.k), a.id"}),
    [](const auto& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace matview::test
